//! What values of settings look like: which text Kafka takes, in whose words it refuses the rest,
//! and in which form it shows what it took.
//!
//! Source: `ConfigDef` of Kafka 4.3.1, asked while it ran. Invariant: a value that passed
//! [`check_value`] has a [`normal`] form.

use std::collections::HashSet;

/// Longest value of a setting, bytes: Kafka's bound, so that it stays a string of every protocol
/// version.
pub const VALUE_BYTES_MAX: usize = i16::MAX as usize;
/// Largest 32-bit number.
pub const INT_MAX: i32 = i32::MAX;
/// Largest 64-bit number.
pub const LONG_MAX: i64 = i64::MAX;
/// The same in digits.
pub const LONG_MAX_TEXT: &str = "9223372036854775807";
/// Words of `cleanup.policy`.
pub const POLICIES: &[&str] = &["compact", "delete"];
/// Words of `compression.type`.
pub const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// Words of `message.timestamp.type`.
pub const TIMESTAMPS: &[&str] = &["CreateTime", "LogAppendTime"];
/// Words of `ringlog.validation`.
pub const VALIDATIONS: &[&str] = &["records", "header"];
/// Words of `ringlog.durability`.
pub const DURABILITIES: &[&str] = &["memory", "written", "synced"];

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// 32 bits, within bounds.
    Int(i32, i32),
    /// 64 bits, within bounds.
    Long(i64, i64),
    /// `compression.gzip.level`: 1 to 9, or -1.
    GzipLevel,
    /// A number from 0 to 1.
    Ratio,
    /// true or false.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these words, separated by commas; or none.
    Words(&'static [&'static str]),
    /// `*`, or partition:broker pairs.
    ThrottledReplicas,
    /// Any number with a fraction.
    Double,
    /// Anything.
    Text,
    /// Anything, separated by commas.
    List,
}

/// A value without what surrounds it: Java's `trim` takes every character up to the space, and no
/// other.
pub fn trim(value: &str) -> &str {
    value.trim_matches(|character| character <= ' ')
}

/// True for a boolean that is set.
pub fn is_true(value: &str) -> bool {
    trim(value).eq_ignore_ascii_case("true")
}

/// Ok for a value that the setting `name` may have; the error is for the user.
pub fn check_value(name: &str, kind: Kind, value: &str) -> Result<(), String> {
    let refuse = |value: &str, why: &str| {
        Err(format!("Invalid value {value} for configuration {name}: {why}"))
    };
    let trimmed = trim(value);
    match kind {
        Kind::Int(low, high) => match trimmed.parse::<i32>() {
            Err(_) => refuse(value, "Not a number of type INT"),
            Ok(number) => check_bounds(number.into(), low.into(), high.into())
                .or_else(|why| refuse(&number.to_string(), &why)),
        },
        Kind::Long(low, high) => match trimmed.parse::<i64>() {
            Err(_) => refuse(value, "Not a number of type LONG"),
            Ok(number) => {
                check_bounds(number, low, high).or_else(|why| refuse(&number.to_string(), &why))
            }
        },
        Kind::GzipLevel => match trimmed.parse::<i32>() {
            Err(_) => refuse(value, "Not a number of type INT"),
            Ok(-1 | 1..=9) => Ok(()),
            Ok(level) => refuse(&level.to_string(), "Value must be between 1 and 9 or equal to -1"),
        },
        Kind::Ratio => check_ratio(trimmed).or_else(|(value, why)| refuse(&value, why)),
        Kind::Double => match parse_double(trimmed) {
            None => refuse(value, "Not a number of type DOUBLE"),
            Some(_) => Ok(()),
        },
        Kind::Text | Kind::List => Ok(()),
        Kind::Boolean if is_true(value) || trimmed.eq_ignore_ascii_case("false") => Ok(()),
        Kind::Boolean => refuse(value, "Expected value to be either true or false"),
        Kind::Word(words) if words.contains(&trimmed) => Ok(()),
        Kind::Word(words) => {
            refuse(trimmed, &format!("String must be one of: {}", words.join(", ")))
        }
        Kind::Words(words) => check_words(name, words, trimmed),
        Kind::ThrottledReplicas => check_throttled_replicas(trimmed).or_else(|parts| {
            let form = "the literal '*' or a list of replicas in the following format: \
                        [partitionId]:[brokerId],[partitionId]:[brokerId],...";
            refuse(&format!("[{}]", parts.join(", ")), &format!("{name} must be {form}"))
        }),
    }
}

fn check_bounds(number: i64, low: i64, high: i64) -> Result<(), String> {
    if number < low {
        Err(format!("Value must be at least {low}"))
    } else if number > high {
        Err(format!("Value must be no more than {high}"))
    } else {
        Ok(())
    }
}

/// The error is the value as Kafka shows it, and why.
fn check_ratio(text: &str) -> Result<(), (String, &'static str)> {
    const NO_NUMBER: &str = "Not a number of type DOUBLE";
    let ratio = parse_double(text).ok_or_else(|| (text.to_string(), NO_NUMBER))?;
    if ratio < 0.0 {
        Err((java_double(ratio), "Value must be at least 0"))
    } else if ratio > 1.0 {
        Err((java_double(ratio), "Value must be no more than 1"))
    } else if ratio.is_nan() {
        // Kafka lets NaN pass; nothing could be done with it.
        Err((text.to_string(), NO_NUMBER))
    } else {
        Ok(())
    }
}

fn check_words(name: &str, words: &[&str], text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    for word in text.split(',').map(trim) {
        if word.is_empty() {
            return Err(format!("Configuration '{name}' values must not be empty."));
        }
        if !words.contains(&word) {
            let words = words.join(", ");
            return Err(format!(
                "Invalid value {word} for configuration {name}: String must be one of: {words}"
            ));
        }
    }
    Ok(())
}

fn check_throttled_replicas(text: &str) -> Result<(), Vec<&str>> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.trim_end_matches(',').split(',').map(trim).collect();
    let pair = |part: &&str| {
        part.split_once(':').is_some_and(|(left, right)| number(left) && number(right))
    };
    if text.is_empty() || text == "*" || parts.iter().all(pair) { Ok(()) } else { Err(parts) }
}

/// A number as Java reads it: `Infinity` and `NaN` have no other names, and `1d` is 1. Left out:
/// the hexadecimal form.
fn parse_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let decimal = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_decimal = decimal.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    decimal.parse().ok().filter(|_| is_decimal)
}

/// A number as Java writes it: `0.5`, `2.0`, `1.0E-4`, `Infinity`.
fn java_double(number: f64) -> String {
    let size = number.abs();
    if size.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if number == 0.0 || (1e-3..1e7).contains(&size) || number.is_nan() {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

impl Kind {
    /// Kafka's number for the type, as DescribeConfigs says it.
    pub fn config_type(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Word(_) | Kind::Text => 2,
            Kind::Int(..) | Kind::GzipLevel => 3,
            Kind::Long(..) => 5,
            Kind::Ratio | Kind::Double => 6,
            Kind::Words(_) | Kind::ThrottledReplicas | Kind::List => 7,
        }
    }

    /// True for lists: words can be appended and taken out.
    pub fn is_list(self) -> bool {
        self.config_type() == 7
    }

    /// A value in the form in which Kafka shows it; what cannot be read stays as it is.
    pub fn normal(self, value: &str) -> String {
        let trimmed = trim(value);
        let number = |parsed: Option<String>| parsed.unwrap_or_else(|| trimmed.to_string());
        match self {
            Kind::Int(..) | Kind::Long(..) | Kind::GzipLevel => {
                number(trimmed.parse::<i64>().ok().map(|number| number.to_string()))
            }
            Kind::Ratio | Kind::Double => number(parse_double(trimmed).map(java_double)),
            Kind::Boolean => trimmed.to_ascii_lowercase(),
            Kind::Word(_) | Kind::Text => trimmed.to_string(),
            Kind::Words(_) | Kind::ThrottledReplicas | Kind::List => {
                let mut seen = HashSet::new();
                let words = trimmed.split(',').map(trim).filter(|word| seen.insert(*word));
                words.collect::<Vec<_>>().join(",")
            }
        }
    }
}

/// The words of a list, without empty ones; not trimmed, as Kafka counts them.
pub fn words_of(value: &str) -> Vec<String> {
    value.split(',').filter(|word| !word.is_empty()).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_trimmed_as_by_java() {
        for (value, trimmed) in [
            (" 5\t\n", "5"),
            ("\0\u{1f}5\u{1}", "5"),
            ("\u{a0}5", "\u{a0}5"),
            ("5\u{2003}", "5\u{2003}"),
            ("5\u{85}", "5\u{85}"),
        ] {
            assert_eq!(trim(value), trimmed, "{value:?}");
            let is_number = check_value("x", Kind::Long(0, LONG_MAX), value).is_ok();
            assert_eq!(is_number, trimmed == "5", "{value:?}");
        }
    }

    #[test]
    fn doubles_are_read_and_shown_as_by_java() {
        for (value, shown) in [
            ("0.5", Some("0.5")),
            ("+1.", Some("1.0")),
            (".5e1", Some("5.0")),
            ("1d", Some("1.0")),
            ("1e0F", Some("1.0")),
            ("NaN", Some("NaN")),
            ("-NaN", Some("NaN")),
            ("-Infinity", Some("-Infinity")),
            ("1e999", Some("Infinity")),
            ("inf", None),
            ("infinity", None),
            ("nan", None),
            ("1dd", None),
            ("d", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(parse_double(value).map(java_double).as_deref(), shown, "{value}");
            assert_eq!(check_value("x", Kind::Double, value).is_ok(), shown.is_some(), "{value}");
        }
    }
}
