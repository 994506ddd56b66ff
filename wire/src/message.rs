//! The declarations' macro: a message is written down once, as a table, and read and written from
//! it.
//!
//! ```text
//! messages! {
//!     /// What it is.
//!     ExampleRequest, flexible 3 {
//!         /// What it means.
//!         name: Option<String> => 0+, null 2+;             versions 0 and later, null from 2 on
//!         old: i32 => 0-2, default -1;                     versions 0 to 2
//!         extra: i64 => 4+ ignorable, tag 0, default -1;   a tagged field of versions 4 and later
//!     }
//! }
//! ```
//!
//! Fields stand in wire order; tagged ones ascend by tag. The struct has the fields as declared,
//! `Default` has the declared defaults, [`Wire`] encodes and decodes, and [`Message`] adds the
//! whole-body forms.
//!
//! Invariants: a field that a version lacks is not written, and reads as its default. Where Kafka
//! calls that an error (the field is not `ignorable` and says something), [`Wire::fits`] is false;
//! who must not lose it asks first. A tagged field is written only when it differs from its
//! default. `None` where a version has no null is written as empty.

use crate::codec::{DecodeError, Reader, Result, Writer};
use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// How one field is written in one version.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The message's version.
    pub version: i16,
    /// Compact lengths and tagged fields.
    pub flexible: bool,
    /// Null is allowed.
    pub nullable: bool,
}

/// What can be a field of a message, or an element of an array.
pub trait Wire: Sized {
    /// Appends the value to `out`.
    fn encode(&self, form: Form, out: &mut Vec<u8>);

    /// Reads a value.
    fn decode(form: Form, input: &mut Reader<'_>) -> Result<Self>;

    /// False when the version would lose something that Kafka does not call ignorable.
    fn fits(&self, version: i16) -> bool {
        let _ = version;
        true
    }

    /// Tells each error code in it that says something else than "none".
    fn visit_errors(&self, tell: &mut dyn FnMut(ErrorCode)) {
        let _ = tell;
    }
}

/// What can be null.
pub trait Nullable: Wire {
    /// Appends null to `out`.
    fn encode_null(form: Form, out: &mut Vec<u8>);
    /// Reads a value or null.
    fn decode_or_null(form: Form, input: &mut Reader<'_>) -> Result<Option<Self>>;
    /// Appends a value where null could stand.
    fn encode_some(&self, form: Form, out: &mut Vec<u8>) {
        self.encode(form, out);
    }
}

/// A whole body: of a request, a response or a record.
pub trait Message: Wire + Default {
    /// The first version with compact lengths and tagged fields.
    const FLEXIBLE_FROM: i16;

    /// Appends the body in a version.
    fn write(&self, version: i16, out: &mut Vec<u8>) {
        let flexible = version >= Self::FLEXIBLE_FROM;
        self.encode(Form { version, flexible, nullable: false }, out);
    }

    /// Reads a body that the bytes begin with. Bytes after it are ignored, as Kafka ignores them.
    fn read(version: i16, bytes: &[u8]) -> Result<Self> {
        Self::read_from(version, &mut Reader::new(bytes))
    }

    /// Reads a body and leaves what follows it.
    fn read_from(version: i16, input: &mut Reader<'_>) -> Result<Self> {
        let flexible = version >= Self::FLEXIBLE_FROM;
        Self::decode(Form { version, flexible, nullable: false }, input)
    }

    /// The error codes in it, each as often as it occurs; empty when nothing failed.
    fn errors(&self) -> Vec<ErrorCode> {
        let mut errors = Vec::new();
        self.visit_errors(&mut |code| errors.push(code));
        errors
    }
}

macro_rules! wire_fixed {
    ($($kind:ty: $put:ident $get:ident;)*) => {$(
        impl Wire for $kind {
            #[inline]
            fn encode(&self, _form: Form, out: &mut Vec<u8>) {
                out.$put(*self);
            }
            #[inline]
            fn decode(_form: Form, input: &mut Reader<'_>) -> Result<Self> {
                input.$get()
            }
        }
    )*};
}

wire_fixed! {
    bool: put_bool bool;
    i8: put_i8 i8;
    i16: put_i16 i16;
    u16: put_u16 u16;
    i32: put_i32 i32;
    i64: put_i64 i64;
    f64: put_f64 f64;
    Uuid: put_uuid uuid;
}

impl Wire for ErrorCode {
    fn encode(&self, _form: Form, out: &mut Vec<u8>) {
        out.put_i16(self.code());
    }
    fn decode(_form: Form, input: &mut Reader<'_>) -> Result<Self> {
        Ok(ErrorCode::from_code(input.i16()?))
    }
    fn visit_errors(&self, tell: &mut dyn FnMut(ErrorCode)) {
        if !self.is_none() {
            tell(*self);
        }
    }
}

impl Wire for String {
    fn encode(&self, form: Form, out: &mut Vec<u8>) {
        out.put_string(form.flexible, Some(self));
    }
    fn decode(form: Form, input: &mut Reader<'_>) -> Result<Self> {
        Self::decode_or_null(form, input)?.ok_or(DecodeError::Null)
    }
}

impl Nullable for String {
    fn encode_null(form: Form, out: &mut Vec<u8>) {
        out.put_string(form.flexible, None);
    }
    fn decode_or_null(form: Form, input: &mut Reader<'_>) -> Result<Option<Self>> {
        let Some(text) = input.string_or_null(form.flexible)? else { return Ok(None) };
        input.charge(text.len(), 1)?;
        Ok(Some(text.to_owned()))
    }
}

/// Bytes, and records.
impl Wire for Vec<u8> {
    fn encode(&self, form: Form, out: &mut Vec<u8>) {
        out.put_bytes(form.flexible, Some(self));
    }
    fn decode(form: Form, input: &mut Reader<'_>) -> Result<Self> {
        Self::decode_or_null(form, input)?.ok_or(DecodeError::Null)
    }
}

impl Nullable for Vec<u8> {
    fn encode_null(form: Form, out: &mut Vec<u8>) {
        out.put_bytes(form.flexible, None);
    }
    fn decode_or_null(form: Form, input: &mut Reader<'_>) -> Result<Option<Self>> {
        let Some(bytes) = input.bytes_or_null(form.flexible)? else { return Ok(None) };
        input.charge(bytes.len(), 1)?;
        Ok(Some(bytes.to_owned()))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn encode(&self, form: Form, out: &mut Vec<u8>) {
        out.put_count(form.flexible, Some(self.len()));
        for element in self {
            element.encode(Form { nullable: false, ..form }, out);
        }
    }
    fn decode(form: Form, input: &mut Reader<'_>) -> Result<Self> {
        Self::decode_or_null(form, input)?.ok_or(DecodeError::Null)
    }
    fn fits(&self, version: i16) -> bool {
        self.iter().all(|element| element.fits(version))
    }
    fn visit_errors(&self, tell: &mut dyn FnMut(ErrorCode)) {
        self.iter().for_each(|element| element.visit_errors(tell));
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn encode_null(form: Form, out: &mut Vec<u8>) {
        out.put_count(form.flexible, None);
    }
    fn decode_or_null(form: Form, input: &mut Reader<'_>) -> Result<Option<Self>> {
        let Some(count) = input.count_or_null(form.flexible)? else { return Ok(None) };
        input.charge(count, size_of::<T>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(Form { nullable: false, ..form }, input)?);
        }
        Ok(Some(elements))
    }
}

impl<T: Nullable + Default> Wire for Option<T> {
    fn encode(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Some(value) if form.nullable => value.encode_some(form, out),
            Some(value) => value.encode(form, out),
            None if form.nullable => T::encode_null(form, out),
            None => T::default().encode(form, out),
        }
    }
    fn decode(form: Form, input: &mut Reader<'_>) -> Result<Self> {
        match T::decode_or_null(form, input)? {
            None if !form.nullable => Err(DecodeError::Null),
            value => Ok(value),
        }
    }
    fn fits(&self, version: i16) -> bool {
        self.as_ref().is_none_or(|value| value.fits(version))
    }
    fn visit_errors(&self, tell: &mut dyn FnMut(ErrorCode)) {
        if let Some(value) = self {
            value.visit_errors(tell);
        }
    }
}

/// True for versions from `first` to `last`.
#[doc(hidden)]
#[inline]
pub const fn within(version: i16, first: i16, last: i16) -> bool {
    version >= first && version <= last
}

/// True when each tag is larger than the one before it.
#[doc(hidden)]
pub const fn ascend(tags: &[u32]) -> bool {
    let mut place = 1;
    while place < tags.len() {
        if tags[place - 1] >= tags[place] {
            return false;
        }
        place += 1;
    }
    true
}

/// Declares messages; see the module's head.
#[doc(hidden)]
#[macro_export]
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $name:ident, flexible $flexible_from:literal {$(
            $(#[$field_doc:meta])*
            $field:ident: $kind:ty => $first:literal $(+)? $(- $last:literal)? $($ignorable:ident)?
                $(, null $null_from:literal +)? $(, tag $tag:literal)? $(, default $default:expr)?;
        )*}
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {$(
            $(#[$field_doc])*
            pub $field: $kind,
        )*}

        impl Default for $name {
            fn default() -> $name {
                $name {$($field: messages!(@default $($default)?),)*}
            }
        }

        const _: () = assert!($crate::message::ascend(&[$($($tag,)?)*]), "tags ascend");

        impl $crate::message::Wire for $name {
            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn encode(&self, form: $crate::message::Form, out: &mut Vec<u8>) {
                use $crate::codec::Writer as _;
                let version = form.version;
                $(if messages!(@carries version, $first $(- $last)?) {
                    messages!(@plain [$($tag)?]
                        messages!(@form form $($null_from)?), self.$field, out);
                })*
                if form.flexible {
                    let mut tags = 0u32;
                    $(messages!(@if_tag [$($tag)?] {
                        if messages!(@carries version, $first $(- $last)?)
                            && self.$field != messages!(@typed $kind, $($default)?) {
                            tags += 1;
                        }
                    });)*
                    out.put_uvarint(tags);
                    let mut scratch: Vec<u8> = Vec::new();
                    $(messages!(@if_tag [$($tag)?] {
                        if messages!(@carries version, $first $(- $last)?)
                            && self.$field != messages!(@typed $kind, $($default)?) {
                            scratch.clear();
                            let form = messages!(@form form $($null_from)?);
                            $crate::message::Wire::encode(&self.$field, form, &mut scratch);
                            out.put_uvarint(messages!(@tag $($tag)?));
                            out.put_bytes_sized(&scratch);
                        }
                    });)*
                }
            }

            #[allow(unused_variables, unused_mut)]
            fn decode(
                form: $crate::message::Form,
                input: &mut $crate::codec::Reader<'_>,
            ) -> $crate::codec::Result<$name> {
                let version = form.version;
                let mut message = $name::default();
                $(messages!(@if_plain [$($tag)?] {
                    if messages!(@carries version, $first $(- $last)?) {
                        let form = messages!(@form form $($null_from)?);
                        message.$field = $crate::message::Wire::decode(form, input)?;
                    }
                });)*
                if form.flexible {
                    input.tags(|tag, input| {
                        $(messages!(@if_tag [$($tag)?] {
                            if tag == messages!(@tag $($tag)?)
                                && messages!(@carries version, $first $(- $last)?) {
                                let form = messages!(@form form $($null_from)?);
                                message.$field = $crate::message::Wire::decode(form, input)?;
                                return Ok(true);
                            }
                        });)*
                        Ok(false)
                    })?;
                }
                Ok(message)
            }

            #[allow(unused_variables)]
            fn fits(&self, version: i16) -> bool {
                true $(&& if messages!(@carries version, $first $(- $last)?) {
                    $crate::message::Wire::fits(&self.$field, version)
                } else {
                    messages!(@ignorable $($ignorable)?)
                        || self.$field == messages!(@typed $kind, $($default)?)
                })*
            }

            #[allow(unused_variables)]
            fn visit_errors(&self, tell: &mut dyn FnMut($crate::error::ErrorCode)) {
                $($crate::message::Wire::visit_errors(&self.$field, tell);)*
            }
        }

        #[cfg(test)]
        impl $crate::tests::arbitrary::Arbitrary for $name {
            #[allow(unused_variables)]
            fn arbitrary(
                form: $crate::message::Form,
                rng: &mut $crate::tests::arbitrary::Rng,
            ) -> $name {
                let version = form.version;
                let none = $name::default();
                $name {$($field: if messages!(@carries version, $first $(- $last)?) {
                    let form = messages!(@form form $($null_from)?);
                    $crate::tests::arbitrary::Arbitrary::arbitrary(form, rng)
                } else {
                    none.$field
                },)*}
            }
        }

        impl $crate::message::Message for $name {
            const FLEXIBLE_FROM: i16 = $flexible_from;
        }

        impl $name {
            /// Appends the body in a version.
            pub fn encode(&self, version: i16, out: &mut Vec<u8>) {
                $crate::message::Message::write(self, version, out);
            }

            /// Reads a body; bytes after it are ignored, as Kafka ignores them.
            pub fn decode(version: i16, bytes: &[u8]) -> $crate::codec::Result<$name> {
                $crate::message::Message::read(version, bytes)
            }

            /// False when the version would lose something that Kafka does not call ignorable.
            pub fn fits(&self, version: i16) -> bool {
                $crate::message::Wire::fits(self, version)
            }
        }
    )*};

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@typed $kind:ty,) => { <$kind>::default() };
    (@typed $kind:ty, $default:expr) => { $default };
    (@carries $version:ident, $first:literal) => {
        $crate::message::within($version, $first, i16::MAX)
    };
    (@carries $version:ident, $first:literal - $last:literal) => {
        $crate::message::within($version, $first, $last)
    };
    (@form $form:ident) => { $crate::message::Form { nullable: false, ..$form } };
    (@form $form:ident $null_from:literal) => {
        $crate::message::Form { nullable: $form.version >= $null_from, ..$form }
    };
    (@plain [] $form:expr, $field:expr, $out:ident) => {
        $crate::message::Wire::encode(&$field, $form, $out);
    };
    (@plain [$tag:literal] $form:expr, $field:expr, $out:ident) => {};
    (@if_tag [] $body:block) => {};
    (@if_tag [$tag:literal] $body:block) => { $body };
    (@if_plain [] $body:block) => { $body };
    (@if_plain [$tag:literal] $body:block) => {};
    (@tag $tag:literal) => { $tag };
    (@ignorable) => { false };
    (@ignorable ignorable) => { true };
}

/// Lets a struct be null: a byte before it says whether it is there (-1 is null, 1 is not).
macro_rules! nullable_struct {
    ($name:ident) => {
        impl $crate::message::Nullable for $name {
            fn encode_null(_form: $crate::message::Form, out: &mut Vec<u8>) {
                $crate::codec::Writer::put_i8(out, -1);
            }
            fn encode_some(&self, form: $crate::message::Form, out: &mut Vec<u8>) {
                $crate::codec::Writer::put_i8(out, 1);
                let form = $crate::message::Form { nullable: false, ..form };
                $crate::message::Wire::encode(self, form, out);
            }
            fn decode_or_null(
                form: $crate::message::Form,
                input: &mut $crate::codec::Reader<'_>,
            ) -> $crate::codec::Result<Option<$name>> {
                if input.i8()? < 0 {
                    return Ok(None);
                }
                let form = $crate::message::Form { nullable: false, ..form };
                $crate::message::Wire::decode(form, input).map(Some)
            }
        }
    };
}

pub(crate) use {messages, nullable_struct};
