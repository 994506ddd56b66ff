//! How many connections there may be: of the whole process (`max.connections`) and from one
//! address (`max.connections.per.ip` and its overrides).
//!
//! Invariants: one table for all shards, for the connections of one address land on several; it is
//! touched when a connection begins and when it ends, never in between; it has an entry only for
//! addresses that are connected now, so it is as small as the connections are few.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::Refused;

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the whole process.
    pub all: usize,
    /// From one address.
    pub per_address: usize,
    /// From these addresses, instead.
    pub overrides: HashMap<IpAddr, usize>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    counts: Mutex<Counts>,
}

/// An IPv4 address that came in an IPv6 one's clothes is the IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl Connections {
    /// No connection yet.
    pub fn new(limits: Limits) -> Connections {
        let overrides =
            limits.overrides.into_iter().map(|(address, max)| (canonical(address), max)).collect();
        Connections { limits: Limits { overrides, ..limits }, counts: Mutex::default() }
    }

    /// One more from this address; it is counted until [`Connections::leave`].
    ///
    /// # Errors
    /// The limit that is reached; nothing was counted then.
    pub fn enter(&self, address: IpAddr) -> Result<(), Refused> {
        let address = canonical(address);
        let most = self.limits.overrides.get(&address).copied();
        let most = most.unwrap_or(self.limits.per_address);
        let mut counts = self.lock();
        if counts.all >= self.limits.all {
            return Err(Refused::Connections);
        }
        let now = counts.by_address.get(&address).copied().unwrap_or(0);
        if now >= most {
            return Err(Refused::Address);
        }
        counts.all += 1;
        counts.by_address.insert(address, now + 1);
        Ok(())
    }

    /// One that had entered is gone.
    pub fn leave(&self, address: IpAddr) {
        let address = canonical(address);
        let mut counts = self.lock();
        let now = counts.by_address.get(&address).copied().unwrap_or(0);
        assert!(now > 0, "a connection leaves once, after it entered");
        match now {
            1 => counts.by_address.remove(&address),
            _ => counts.by_address.insert(address, now - 1),
        };
        counts.all -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // A holder changes nothing before it may panic, so a poisoned table is whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads `max.connections.per.ip.overrides`: `127.0.0.1:200,::1:5`, the last colon parts them.
///
/// # Errors
/// Says what was found instead. Names of hosts are not looked up.
pub fn parse_overrides(text: &str) -> Result<HashMap<IpAddr, usize>, String> {
    let expected = "expected addresses with limits, as 127.0.0.1:200,10.0.0.7:5";
    let mut found = HashMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (address, most) = part.rsplit_once(':').ok_or(format!("{expected}, found {part:?}"))?;
        let address = address.trim_matches(['[', ']']);
        let parsed = address.parse().ok().zip(most.parse().ok());
        let (address, most) = parsed.ok_or(format!("{expected}, found {part:?}"))?;
        found.insert(canonical(address), most);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn connections(all: usize, per_address: usize, overrides: &str) -> Connections {
        let overrides = parse_overrides(overrides).unwrap();
        Connections::new(Limits { all, per_address, overrides })
    }

    #[test]
    fn each_limit_is_kept_and_what_leaves_makes_room() {
        let table = connections(4, 2, "10.0.0.9:3, ::2:0");
        assert_eq!(table.enter(address("10.0.0.1")), Ok(()));
        assert_eq!(table.enter(address("::ffff:10.0.0.1")), Ok(()), "the same address");
        assert_eq!(table.enter(address("10.0.0.1")), Err(Refused::Address));
        assert_eq!(table.enter(address("::2")), Err(Refused::Address), "none at all");
        assert_eq!(table.enter(address("10.0.0.9")), Ok(()));
        assert_eq!(table.enter(address("10.0.0.9")), Ok(()));
        assert_eq!(table.enter(address("10.0.0.9")), Err(Refused::Connections));
        table.leave(address("10.0.0.1"));
        assert_eq!(table.enter(address("10.0.0.9")), Ok(()), "its own limit is 3");
        for who in ["10.0.0.1", "10.0.0.9", "10.0.0.9", "10.0.0.9"] {
            table.leave(address(who));
        }
        let counts = table.lock();
        assert_eq!((counts.all, counts.by_address.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn overrides_are_read_or_refused() {
        assert_eq!(parse_overrides(""), Ok(HashMap::new()));
        let found = parse_overrides("127.0.0.1:7,::1:2,[fe80::1]:3").unwrap();
        assert_eq!(found[&address("127.0.0.1")], 7);
        assert_eq!((found[&address("::1")], found[&address("fe80::1")]), (2, 3));
        for bad in ["127.0.0.1", "localhost:3", "127.0.0.1:-1", "127.0.0.1:x", ":5"] {
            assert!(parse_overrides(bad).unwrap_err().contains("expected"), "{bad}");
        }
    }
}
