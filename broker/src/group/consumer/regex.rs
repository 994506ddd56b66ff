//! Regular expressions in RE2's syntax, as Kafka's broker takes them, on the `regex` crate, which
//! like RE2 matches in time linear in the text.
//!
//! The two differ in details, which [`translated`] evens out: RE2's `\Q...\E`, ASCII-only `\d`,
//! `\w`, `\s` and `\b`, a `{` that begins no count, `[` and doubled punctuation inside classes
//! (which the crate would read as set operations), and no `x` flag.

use ::regex::{Regex, RegexBuilder};

/// How long an expression may be.
pub(super) const REGEX_BYTES_MAX: usize = 4 << 10;
/// How large an expression may become when it is compiled, in bytes: the first that is enough says
/// what a match may cost. The last has room for any expression that is only names.
const PROGRAM_BYTES: [usize; 3] = [2 << 10, 16 << 10, 192 << 10];
/// About how many bytes of a program one state takes.
const STATE_BYTES: usize = 32;
/// How many classes of Unicode an expression may name: to make one without regard to case takes the
/// crate a millisecond.
const UNICODE_CLASSES_MAX: usize = 16;
/// How long `[:alpha:]` and its like may be; none is longer.
const CLASS_NAME_BYTES_MAX: usize = 32;
/// Memory for what matching makes of the program on its way, in bytes.
const DFA_BYTES_MAX: usize = 1 << 20;
/// How often RE2 lets something be repeated by a count.
const REPEAT_MAX: u32 = 1000;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    regex: Regex,
    states: usize,
}

impl Expression {
    /// Whether a topic's whole name matches.
    pub fn is_match(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// How many steps it may take at worst to say so: each letter against each state.
    pub fn steps(&self, name: &str) -> usize {
        (1 + name.len()) * self.states
    }
}

/// Compiles an expression that a topic's whole name has to match. An error says what is wrong.
pub(super) fn compile(pattern: &str) -> Result<Expression, String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err("expression is too long".to_string());
    }
    let whole = format!(r"\A(?:{})\z", translated(pattern)?);
    for program_bytes in PROGRAM_BYTES {
        let mut builder = RegexBuilder::new(&whole);
        builder.octal(true).size_limit(program_bytes).dfa_size_limit(DFA_BYTES_MAX);
        match builder.build() {
            Ok(regex) => return Ok(Expression { regex, states: program_bytes / STATE_BYTES }),
            Err(::regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                // The last line says what; those before it draw where.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                return Err(last.trim_start_matches("error: ").to_string());
            }
        }
    }
    Err(TOO_LARGE.to_string())
}

const TOO_LARGE: &str = "expression is too large";

fn translated(pattern: &str) -> Result<String, String> {
    let classes = pattern.matches(r"\p").count() + pattern.matches(r"\P").count();
    if classes > UNICODE_CLASSES_MAX {
        return Err(TOO_LARGE.to_string());
    }
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut depth = 0_usize;
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '\\' => escape(rest, false, &mut out)?,
            '[' => class(rest, &mut out)?,
            '{' => repetition(rest, &mut out)?,
            '(' => {
                depth += 1;
                group(rest, &mut out)?
            }
            ')' => {
                // `a)(b` is no expression, though it would become one within parentheses.
                depth = depth.checked_sub(1).ok_or("unopened group")?;
                out.push(')');
                1
            }
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
            && let Some(end) = class_name_end(rest)
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

/// Where the `:]` is that ends the name which `text` begins with. Not far: a search to the end of
/// the text at each `[:` would take time in its square.
fn class_name_end(text: &str) -> Option<usize> {
    let near = &text.as_bytes()[..text.len().min(CLASS_NAME_BYTES_MAX)];
    near.windows(2).position(|pair| pair == b":]")
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
    let Some(count) = count(text) else {
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

/// The `{n}`, `{n,}` or `{n,m}` that `text` begins with. Read once, and no further than it goes: a
/// search for the end of the text at each `{` would take time in its square.
fn count(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = 1 + digits(&text[1..]);
    if end == 1 {
        return None;
    }
    if text[end..].starts_with(',') {
        end += 1;
        end += digits(&text[end..]);
    }
    text[end..].starts_with('}').then(|| &text[..=end])
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
            ("a{1,2}{", &["a{", "aa{"], &["a"]),
            ("a{1x}", &["a{1x}"], &["a"]),
            ("a{1,", &["a{1,"], &["a"]),
            ("[[:word:][:^alpha:]x]", &["a", "1", "-"], &["ab"]),
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
        assert!(compile(&long[1..]).is_ok_and(|regex| regex.is_match(&long[1..])));
        let names = "a-name-of-thirty-letters-more|".repeat(136);
        assert!(compile(&names).is_ok());
    }

    /// Each of these took the square of its length to read, or long to compile.
    #[test]
    fn rule_75_no_expression_takes_long() {
        let filled = |unit: &str| unit.repeat(super::REGEX_BYTES_MAX / unit.len());
        let units = ["{", "{1", "[:", "[[:", r"\Q", "(", "a?", ".*", r"\d", "(?i)", "(.{1,30})"];
        for unit in units {
            let text = filled(unit);
            let translated = super::translated(&text);
            assert!(translated.is_err() || translated.is_ok_and(|t| t.len() <= 8 * text.len()));
            let _ = compile(&text);
        }
        assert_eq!(super::count(&filled("{1")), None);
        assert_eq!(super::count("{12,345}6}"), Some("{12,345}"));
        assert_eq!(super::class_name_end(&format!("[:{}:]", filled("a"))), None);
        for class in [r"\pL", r"\PL", r"[^\p{Greek}]"] {
            let error = compile(&format!("(?i){}", class.repeat(17))).expect_err(class);
            assert_eq!(error, "expression is too large");
            compile(&format!("(?i){class}")).expect(class);
        }
    }

    #[test]
    fn rule_75_a_match_is_weighed_by_the_expression_and_the_name() {
        let steps = |pattern: &str| compile(pattern).expect(pattern).steps("a-topic");
        assert_eq!(steps("orders.*"), 8 * 64);
        assert_eq!(steps(&"a?".repeat(100)), 8 * 512);
        assert_eq!(steps(&"a?".repeat(1_000)), 8 * 6_144);
    }
}
