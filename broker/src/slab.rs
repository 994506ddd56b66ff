//! A table of things in progress, named by keys that are never mistaken for later things in the
//! same place.

/// Names a thing in a [`Slab`]: its place in the low half, the place's generation in the high half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

impl Key {
    /// The key as a number, for tokens that pass through the ring.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The key that [`Key::to_u64`] gave.
    pub fn from_u64(number: u64) -> Key {
        Key(number)
    }

    /// Its place, which later things may take again.
    pub fn place(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// The key that the next [`Slab::insert`] gives.
    pub fn next_key(&self) -> Key {
        match self.free.last() {
            Some(&place) => Key(u64::from(self.entries[place as usize].0) << 32 | u64::from(place)),
            None => Key(self.entries.len() as u64),
        }
    }

    /// Puts `value` in and names it.
    pub fn insert(&mut self, value: T) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 things in progress")
        });
        let entry = &mut self.entries[place as usize];
        entry.1 = Some(value);
        Key(u64::from(entry.0) << 32 | u64::from(place))
    }

    /// The thing named `key`, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.entries.get(key.place())?;
        value.as_ref().filter(|_| u64::from(*generation) == key.0 >> 32)
    }

    /// The thing named `key`, if it is still there.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(key.place())?;
        value.as_mut().filter(|_| u64::from(*generation) == key.0 >> 32)
    }

    /// Takes the thing named `key` out; its key never names anything again.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = &mut self.entries[key.place()];
        entry.0 = entry.0.wrapping_add(1);
        self.free.push(key.place() as u32);
        entry.1.take()
    }

    /// How many things are in.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all that is in.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, (_, value))| value.is_some())
            .map(|(place, (generation, _))| Key(u64::from(*generation) << 32 | place as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_thing_for_ever() {
        let mut slab = Slab::default();
        let next = slab.next_key();
        let a = slab.insert("a");
        assert_eq!(next, a);
        assert_eq!(slab.remove(a), Some("a"));
        let next = slab.next_key();
        let b = slab.insert("b");
        assert_eq!(next, b);
        assert_ne!(a, b);
        assert_eq!((slab.get(a), slab.get(b), slab.len()), (None, Some(&"b"), 1));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [b]);
        assert_eq!(slab.get_mut(Key::from_u64(b.to_u64())), Some(&mut "b"));
    }
}
