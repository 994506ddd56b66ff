//! Regular expressions in RE2's syntax, as Kafka's broker takes them, on the `regex` crate, which
//! like RE2 matches in time linear in the text.
//!
//! The two differ in details, which [`translated`] evens out: RE2's `\Q...\E`, ASCII-only `\d`,
//! `\w`, `\s` and `\b`, a `{` that begins no count, `[` and doubled punctuation inside classes
//! (which the crate would read as set operations), and no `x` flag.

use ::regex::{Regex, RegexBuilder};

/// How long an expression may be.
pub(super) const REGEX_BYTES_MAX: usize = 64 << 10;
/// How large an expression may become when it is compiled, in bytes.
const PROGRAM_BYTES_MAX: usize = 1 << 20;
/// How often RE2 lets something be repeated by a count.
const REPEAT_MAX: u32 = 1000;

/// Compiles an expression that a topic's whole name has to match. An error says what is wrong.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err("expression is too long".to_string());
    }
    let translated = translated(pattern)?;
    // By itself first: `a)(b` is no expression, though it would become one within parentheses.
    build(&translated)?;
    build(&format!(r"\A(?:{translated})\z"))
}

fn build(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.octal(true).size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(PROGRAM_BYTES_MAX);
    builder.build().map_err(|error| match error {
        ::regex::Error::CompiledTooBig(_) => "expression is too large".to_string(),
        error => {
            // The last line says what; those before it draw where.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_string()
        }
    })
}

fn translated(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '\\' => escape(rest, false, &mut out)?,
            '[' => class(rest, &mut out)?,
            '{' => repetition(rest, &mut out)?,
            '(' => group(rest, &mut out)?,
            _ => {
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[used..];
    }
    Ok(out)
}

/// Translates the escape that `text` begins with; returns its length.
fn escape(text: &str, in_class: bool, out: &mut String) -> Result<usize, String> {
    let mut chars = text.chars().skip(1);
    let Some(letter) = chars.next() else {
        return Err("trailing backslash at end of expression".to_string());
    };
    let follows_octal = chars.next().is_some_and(|next| ('0'..='7').contains(&next));
    match letter {
        'Q' if !in_class => {
            let literal = &text[2..];
            let end = literal.find("\\E");
            out.push_str(&::regex::escape(&literal[..end.unwrap_or(literal.len())]));
            return Ok(end.map_or(text.len(), |end| 2 + end + 2));
        }
        '1'..='7' if !follows_octal => {
            return Err(format!("invalid escape sequence: `\\{letter}`"));
        }
        '8' | '9' => return Err(format!("invalid escape sequence: `\\{letter}`")),
        'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
            let set = match letter.to_ascii_lowercase() {
                'd' => "0-9",
                's' => r"\t\n\f\r ",
                _ => "0-9A-Za-z_",
            };
            let not = if letter.is_ascii_uppercase() { "^" } else { "" };
            out.push_str(&format!("[{not}{set}]"));
        }
        'b' | 'B' if !in_class => out.push_str(&format!("(?-u:\\{letter})")),
        // The crate's own anchors at word boundaries are no escapes of RE2's.
        '<' | '>' => out.push(letter),
        _ => {
            out.push('\\');
            out.push(letter);
        }
    }
    Ok(1 + letter.len_utf8())
}

/// Translates the class that `text` begins with; returns its length.
fn class(text: &str, out: &mut String) -> Result<usize, String> {
    let mut at = 1;
    out.push('[');
    if text[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let mut first = true;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(']') && !first {
            out.push(']');
            return Ok(at + 1);
        }
        first = false;
        if rest.starts_with("[:")
            && let Some(end) = rest.find(":]")
        {
            out.push_str(&rest[..end + 2]);
            at += end + 2;
            continue;
        }
        at += class_letter(rest, out)?;
        // A range, unless the hyphen is the last of the class or what comes before it is a set.
        let letter = rest.strip_prefix('\\').and_then(|escaped| escaped.chars().next());
        let is_set = letter.is_some_and(|letter| "dDsSwWpP".contains(letter));
        let range = text[at..].strip_prefix('-').filter(|end| !end.starts_with(']'));
        if let (false, Some(end)) = (is_set, range) {
            out.push('-');
            at += 1 + class_letter(end, out)?;
        }
    }
    Err("missing closing ]".to_string())
}

/// Translates a letter or an escape within a class; returns its length.
fn class_letter(text: &str, out: &mut String) -> Result<usize, String> {
    let Some(letter) = text.chars().next() else {
        return Err("missing closing ]".to_string());
    };
    if letter == '\\' {
        return escape(text, true, out);
    }
    if "[]&~-^".contains(letter) {
        out.push('\\');
    }
    out.push(letter);
    Ok(letter.len_utf8())
}

/// Translates the brace that `text` begins with: a count, or a brace; returns its length.
fn repetition(text: &str, out: &mut String) -> Result<usize, String> {
    let count = text.find('}').map(|end| &text[..=end]).filter(|count| is_count(count));
    let Some(count) = count else {
        out.push_str("\\{");
        return Ok(1);
    };
    let numbers = count.trim_matches(['{', '}']).split(',').filter(|number| !number.is_empty());
    for number in numbers {
        if number.parse::<u32>().is_ok_and(|number| number <= REPEAT_MAX) {
            continue;
        }
        return Err(format!("invalid repeat count: `{count}`"));
    }
    out.push_str(count);
    Ok(count.len())
}

/// `{n}`, `{n,}` or `{n,m}`.
fn is_count(text: &str) -> bool {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let digits = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        None => !inner.is_empty() && digits(inner),
        Some((least, most)) => !least.is_empty() && digits(least) && digits(most),
    }
}

/// Translates the parenthesis that `text` begins with; returns its length. Flags that RE2 does not
/// have are refused.
fn group(text: &str, out: &mut String) -> Result<usize, String> {
    out.push('(');
    let Some(flags) = text.strip_prefix("(?") else { return Ok(1) };
    if flags.starts_with("P<") || flags.starts_with('<') {
        return Ok(1);
    }
    let end = flags.find([':', ')']);
    let known = end.is_some_and(|end| flags[..end].chars().all(|flag| "imsU-".contains(flag)));
    if !known {
        return Err("invalid or unsupported Perl syntax".to_string());
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn rule_75_expressions_are_re2s() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("orders", &["orders"], &["orders2", "my-orders", ""]),
            ("orders.*", &["orders", "orders-eu"], &["xorders"]),
            ("a|bc", &["a", "bc"], &["ac", "abc"]),
            (r"t\d{2,3}", &["t12", "t123"], &["t1", "t1234", "t\u{663}\u{663}"]),
            (r"[\w-]+", &["a_B-9"], &["a.b", ""]),
            (r"[^\d]+", &["abc"], &["a1"]),
            (r"[\D]+", &["abc"], &["a1"]),
            (r"\Qa.b\E.", &["a.bc"], &["aXbc", "a.b"]),
            (r"\Qa.b", &["a.b"], &["aXb"]),
            ("a{", &["a{"], &["a"]),
            ("a{,2}", &["a{,2}"], &["aa"]),
            ("[a&&b]", &["a", "&", "b"], &["c"]),
            ("[a[b]", &["a", "[", "b"], &["c", "]"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[^]a]", &["b"], &["]", "a"]),
            ("[a~~b]", &["a", "~"], &["c"]),
            ("[+--]", &["+", ",", "-"], &["."]),
            ("[a-c-]", &["b", "-"], &["d"]),
            (r"[\d-z]", &["1", "-", "z"], &["x"]),
            ("[--/]", &["-", ".", "/"], &["0", ","]),
            ("[[:alpha:]]+", &["abc"], &["1"]),
            ("(?i)Orders", &["ORDERS"], &["x"]),
            ("(?P<n>a)+", &["aa"], &["b"]),
            ("", &[""], &["a"]),
            (r"\bfoo\b", &["foo"], &["food"]),
            (r"\101", &["A"], &["a"]),
        ];
        for (pattern, matching, others) in cases {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for text in *matching {
                assert!(regex.is_match(text), "{pattern} matches {text}");
            }
            for text in *others {
                assert!(!regex.is_match(text), "{pattern} does not match {text}");
            }
        }
    }

    #[test]
    fn rule_75_what_re2_does_not_take_is_refused() {
        let bad = [
            "(",
            ")",
            "a)(b",
            "[",
            "[a",
            "*",
            "a{1001}",
            "a{2,1}",
            "\\",
            r"\1",
            r"\8",
            "(?x)a b",
            "(?=a)",
            "(?!a)",
            "(?<=a)b",
            r"\Z",
            "[z-a]",
            "(?P<n>a)(?P<n>b)",
            r"\p{Nonsense}",
            "(((a{1000}){1000}){1000})",
        ];
        for pattern in bad {
            let error = compile(pattern).expect_err(pattern);
            assert!(!error.is_empty() && !error.contains('\n'), "{pattern}: {error}");
        }
        let long = "a".repeat(super::REGEX_BYTES_MAX + 1);
        assert_eq!(compile(&long).expect_err("too long"), "expression is too long");
        assert!(
            compile(&long[1..]).is_ok() || compile(&long[1..]).is_err_and(|e| e.contains("large"))
        );
    }
}
