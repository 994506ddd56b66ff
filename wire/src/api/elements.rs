//! Arrays that stay in the frame: walked once to be checked, then gone through again as often as
//! wanted.
//!
//! Invariant: `Elements::parse` has walked every element, so going through them is the same
//! arithmetic again; a failure there is a bug here, not a bad message. Nothing is allocated.

use std::marker::PhantomData;

use crate::codec::{Reader, Result};

/// An element that borrows from the frame. It is read in two steps, so that going through the outer
/// array need not walk the last element's inner ones.
pub trait Element<'a>: Sized {
    /// Reads the element up to its inner array, if it has one.
    fn head(version: i16, input: &mut Reader<'a>) -> Result<Self>;

    /// Passes over what follows the head.
    #[inline]
    fn skip_tail(&self, version: i16, input: &mut Reader<'a>) -> Result<()> {
        let _ = (version, input);
        Ok(())
    }
}

/// An array in the frame, and an iterator over it.
#[derive(Clone, Debug)]
pub struct Elements<'a, T> {
    version: i16,
    left: usize,
    input: Reader<'a>,
    element: PhantomData<T>,
}

impl<'a, T: Element<'a>> Elements<'a, T> {
    /// Walks and checks an array, and leaves `input` after it.
    #[inline]
    pub(super) fn parse(version: i16, flexible: bool, input: &mut Reader<'a>) -> Result<Self> {
        let count = input.count(flexible)?;
        let elements = Elements::begin(version, count, input);
        Self::skip(version, count, input)?;
        Ok(elements)
    }

    /// An array of `count` elements at `input`, which will have been walked.
    #[inline]
    pub(super) fn begin(version: i16, count: usize, input: &Reader<'a>) -> Self {
        Elements { version, left: count, input: input.clone(), element: PhantomData }
    }

    /// Walks and checks `count` elements.
    #[inline]
    pub(super) fn skip(version: i16, count: usize, input: &mut Reader<'a>) -> Result<()> {
        for _ in 0..count {
            T::head(version, input)?.skip_tail(version, input)?;
        }
        Ok(())
    }
}

impl<'a, T: Element<'a>> Iterator for Elements<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        const WALKED: &str = "parse has walked these bytes";
        self.left = self.left.checked_sub(1)?;
        let element = T::head(self.version, &mut self.input).expect(WALKED);
        if self.left > 0 {
            element.skip_tail(self.version, &mut self.input).expect(WALKED);
        }
        Some(element)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Element<'a>> ExactSizeIterator for Elements<'a, T> {}

impl<'a> Element<'a> for i32 {
    #[inline]
    fn head(_version: i16, input: &mut Reader<'a>) -> Result<i32> {
        input.i32()
    }
}
