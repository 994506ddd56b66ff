//! Compares two messages that come from different crates by what their `Debug` forms say: the same
//! field names, under them the same values. Field order, struct names, newtypes, and the spelling
//! of bytes, ids and error codes do not matter.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// A `Debug` form, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    Leaf(String),
    Text(Vec<u8>),
    List(Vec<Tree>),
    Fields(BTreeMap<String, Tree>),
}

/// What one of the two does not have: of the oracle InitProducerId v6, unstable, and of ours what
/// came after its schemas (DescribeLogDirs v5).
const LEFT_OUT: [&str; 5] = [
    "enable_2_pc",
    "keep_prepared_txn",
    "ongoing_txn_producer_id",
    "ongoing_txn_producer_epoch",
    "is_cordoned",
];

/// Fields that are bytes where they are a list of numbers.
const BYTES: [&str; 6] =
    ["records", "metadata", "assignment", "member_metadata", "member_assignment", "user_data"];

/// What ours has in versions that came after the oracle's schemas, where others have it long since:
/// OffsetCommit v10, OffsetFetch v10, TxnOffsetCommit v6, DeleteGroups v3, WriteTxnMarkers v2.
const NEWER: [&str; 3] = ["topic_id", "error_message", "transaction_version"];

impl Tree {
    /// Drops the fields of [`NEWER`] that the oracle's message does not have.
    pub fn leave_out_newer_than(&mut self, oracle: &Tree) {
        match (self, oracle) {
            (Tree::List(items), Tree::List(others)) => {
                items.iter_mut().zip(others).for_each(|(item, it)| item.leave_out_newer_than(it));
            }
            (Tree::Fields(fields), Tree::Fields(others)) => {
                fields
                    .retain(|name, _| others.contains_key(name) || !NEWER.contains(&name.as_str()));
                for (name, field) in fields {
                    if let Some(other) = others.get(name) {
                        field.leave_out_newer_than(other);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The tree of a value's `Debug` form.
pub fn tree(value: &impl Debug) -> Tree {
    let text = format!("{value:?}");
    let mut parser = Parser { rest: text.as_bytes() };
    let tree = parser.value("");
    assert!(parser.rest.is_empty(), "all of {text} is read");
    tree
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn spaces(&mut self) {
        while self.rest.first() == Some(&b' ') {
            self.rest = &self.rest[1..];
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.spaces();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn word(&mut self) -> String {
        self.spaces();
        let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        let length = self.rest.iter().take_while(is_word).count();
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8(word.to_vec()).expect("ASCII")
    }

    fn value(&mut self, field: &str) -> Tree {
        if self.eat(b'[') {
            return self.list(field);
        }
        if self.eat(b'"') {
            return Tree::Text(self.text());
        }
        let word = self.word();
        if word == "b" && self.eat(b'"') {
            return Tree::Text(self.text());
        }
        if self.eat(b'(') {
            let inner = self.value(field);
            assert!(self.eat(b')'), "a newtype has one field");
            return if word == "Some" { Tree::List(vec![Tree::Leaf(word), inner]) } else { inner };
        }
        if self.eat(b'{') {
            return self.fields();
        }
        Tree::Leaf(leaf(field, word))
    }

    fn list(&mut self, field: &str) -> Tree {
        let mut items = Vec::new();
        while !self.eat(b']') {
            items.push(self.value(field));
            self.eat(b',');
        }
        if BYTES.contains(&field) {
            let byte = |item: &Tree| match item {
                Tree::Leaf(number) => number.parse::<u8>().expect("a byte"),
                other => panic!("{other:?} is no byte"),
            };
            return Tree::Text(items.iter().map(byte).collect());
        }
        Tree::List(items)
    }

    fn fields(&mut self) -> Tree {
        let mut fields = BTreeMap::new();
        while !self.eat(b'}') {
            let name = self.word().replace("k_raft", "kraft").replace("_or_member_epoch", "");
            assert!(self.eat(b':'), "{name} has a value");
            let value = self.value(&name);
            self.eat(b',');
            if name == "unknown_tagged_fields" {
                assert_eq!(value, Tree::Fields(BTreeMap::new()), "every tag is known");
            } else if !LEFT_OUT.contains(&name.as_str()) {
                fields.insert(name, value);
            }
        }
        Tree::Fields(fields)
    }

    /// A string's bytes, up to its closing quote.
    fn text(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first().expect("a closing quote");
            self.rest = rest;
            match byte {
                b'"' => return bytes,
                b'\\' => bytes.push(self.escape()),
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self) -> u8 {
        let (&byte, rest) = self.rest.split_first().expect("an escape");
        self.rest = rest;
        match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let (digits, rest) = self.rest.split_at(2);
                self.rest = rest;
                let digits = std::str::from_utf8(digits).expect("two digits");
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            byte => byte,
        }
    }
}

/// One spelling for ids and error codes.
fn leaf(field: &str, word: String) -> String {
    if field.ends_with("error_code") {
        let named = ErrorCode::ALL.iter().find(|code| format!("{code:?}") == word);
        return named.map_or(word, |code| code.code().to_string());
    }
    match word.parse::<Uuid>() {
        Ok(uuid) => uuid.0.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) if word.len() == 36 => word.replace('-', ""),
        Err(_) => word,
    }
}
