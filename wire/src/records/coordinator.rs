//! How the records of the coordinators' topics are framed, and the macro that declares them.
//!
//! ```text
//! key    | i16 type    | message in version 0, never flexible |
//! value  | i16 version | message |                              null: the key is gone
//! ```
//!
//! Invariants: a type that this build does not know is kept as its bytes: what other kinds of
//! groups have written is neither read nor lost. A value's version that this build does not know is
//! [`DecodeError::Unknown`], never a guess. Bytes after a message are ignored, as Kafka ignores
//! them.

use crate::codec::{DecodeError, Reader, Result};
use crate::message::Message;

/// The only version of keys there is; the number before a key is its type.
pub(super) const KEY_VERSION: i16 = 0;

/// Reads a value: its version, then the message.
pub(super) fn read_value<M: Message>(kind: i16, version_max: i16, value: &[u8]) -> Result<M> {
    let mut input = Reader::new(value);
    let version = input.i16()?;
    if !(0..=version_max).contains(&version) {
        return Err(DecodeError::Unknown { key: kind as u32, version });
    }
    M::read_from(version, &mut input)
}

/// Declares an enum of records: type, name (key, value) and the value's versions, then which of
/// them is written.
macro_rules! coordinator_records {
    (
        $(#[$doc:meta])*
        $name:ident {$(
            $(#[$variant_doc:meta])*
            $kind:literal $variant:ident($key:ident, $value:ident) 0-$max:literal,
                written $version:expr;
        )*}
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $(
                $(#[$variant_doc])*
                $variant {
                    /// What it is about.
                    key: $key,
                    /// What holds from now on; without one, the key is gone.
                    value: Option<$value>,
                },
            )*
            /// Of a type that this build does not know.
            Unknown {
                /// The record's key.
                key: Vec<u8>,
                /// The record's value.
                value: Option<Vec<u8>>,
            },
        }

        impl $name {
            /// Every type: its number, its name, its value's last version.
            pub const TYPES: &[(i16, &str, i16)] = &[$(($kind, stringify!($variant), $max)),*];

            /// Reads a record. An error when the key or value is not what its type says, or the
            /// value is of a version that this build does not know.
            pub fn decode(key: &[u8], value: Option<&[u8]>) -> $crate::codec::Result<$name> {
                use $crate::message::Message as _;
                use $crate::records::coordinator::{KEY_VERSION, read_value};
                let mut input = $crate::codec::Reader::new(key);
                match input.i16()? {
                    $($kind => {
                        let key = $key::read_from(KEY_VERSION, &mut input)?;
                        let value = value.map(|bytes| read_value::<$value>($kind, $max, bytes));
                        Ok($name::$variant { key, value: value.transpose()? })
                    })*
                    _ => Ok($name::Unknown { key: key.to_vec(), value: value.map(<[u8]>::to_vec) }),
                }
            }

            /// Appends the record's key and value, in the version that Kafka 4.3 writes. False when
            /// it has no value: the key is gone.
            pub fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> bool {
                use $crate::codec::Writer as _;
                use $crate::records::coordinator::KEY_VERSION;
                match self {
                    $($name::$variant { key: subject, value: content } => {
                        key.put_i16($kind);
                        subject.encode(KEY_VERSION, key);
                        let Some(content) = content else { return false };
                        let version: fn(&$value) -> i16 = $version;
                        value.put_i16(version(content));
                        content.encode(version(content), value);
                        true
                    })*
                    $name::Unknown { key: subject, value: content } => {
                        key.put(subject);
                        value.put(content.as_deref().unwrap_or_default());
                        content.is_some()
                    }
                }
            }
        }
    };
}

pub(super) use coordinator_records;
