//! Topic names: which ones may be created, and which ones are too alike. Kafka's rules and words.

use std::fmt;

/// Longest topic name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// The metadata log's own topic: nobody creates it.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether a name is one of the coordinators' own topics.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// Why a name cannot be a topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError<'a> {
    /// No characters.
    Empty,
    /// `.` or `..`, which would be directories.
    Dots(&'a str),
    /// More than [`TOPIC_NAME_BYTES_MAX`].
    Long(&'a str),
    /// A character beside letters, digits, `.`, `_`, `-`.
    Character(&'a str),
}

impl fmt::Display for NameError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topic name is invalid: ")?;
        match self {
            NameError::Empty => f.write_str("the empty string is not allowed"),
            NameError::Dots(name) => write!(f, "'{name}' is not allowed"),
            NameError::Long(name) => {
                write!(
                    f,
                    "the length of '{name}' is longer than the max allowed length \
                     {TOPIC_NAME_BYTES_MAX}"
                )
            }
            NameError::Character(name) => write!(
                f,
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', \
                 '_' and '-'"
            ),
        }
    }
}

/// Ok for a name that a topic may have.
pub fn check_topic_name(name: &str) -> Result<(), NameError<'_>> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots(name));
    }
    // Kafka counts UTF-16 units; beyond ASCII the name is refused in either case.
    if name.chars().map(char::len_utf16).sum::<usize>() > TOPIC_NAME_BYTES_MAX {
        return Err(NameError::Long(name));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(NameError::Character(name));
    }
    Ok(())
}

/// A name for a text that many partitions share: one that is too long to be a topic's is cut, so
/// that a request cannot multiply it.
pub fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(TOPIC_NAME_BYTES_MAX)]
}

/// What metrics show of a name: two names of which they show the same are too alike, as they differ
/// in `.` against `_` alone.
pub fn folded(name: &str) -> String {
    name.replace('.', "_")
}

/// True for a name that can collide with another.
pub fn may_collide(name: &str) -> bool {
    name.bytes().any(|byte| byte == b'.' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "x".repeat(249);
        for name in ["a", "A.b_c-9", "...", "_", "-", longest.as_str()] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        let check = |name: &str, text: &str| {
            let error = check_topic_name(name).expect_err(name);
            assert_eq!(error.to_string(), format!("Topic name is invalid: {text}"));
        };
        check("", "the empty string is not allowed");
        check(".", "'.' is not allowed");
        check("..", "'..' is not allowed");
        let tail =
            "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
        for name in ["a b", "a/b", "é", "a\0"] {
            check(name, &format!("'{name}' {tail}"));
        }
        let long = "x".repeat(250);
        check(&long, &format!("the length of '{long}' is longer than the max allowed length 249"));
    }

    #[test]
    fn texts_show_no_more_of_a_name_than_a_topic_can_have() {
        let (longest, longer) = ("x".repeat(249), "é".repeat(32_000));
        for (name, is_shown) in [("", ""), ("a/b", "a/b"), (&longest, &longest)] {
            assert_eq!(shown(name), is_shown);
        }
        assert_eq!(shown(&longer), "é".repeat(124));
    }

    #[test]
    fn collisions() {
        for (left, right, collides) in [
            ("a.b", "a_b", true),
            ("a_b.c", "a.b_c", true),
            ("a.b", "a-b", false),
            ("a.b", "a_bc", false),
        ] {
            assert_eq!(folded(left) == folded(right), collides, "{left} {right}");
        }
        assert!(may_collide("a.b") && may_collide("a_b") && !may_collide("a-b"));
    }
}
