//! The keys of messages: how many there are, and how often each is drawn.
//!
//! Each partition has all the keys. A key is its number in decimal digits, as many for every key,
//! so that batches of the same messages have the same size.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Most keys that numbers are drawn from: a double counts so far without gaps.
pub const KEYS_MAX: u64 = 1 << 53;
/// How steep zipf is when the options do not say: YCSB's constant.
pub const EXPONENT_DEFAULT: f64 = 0.99;

/// `--keys`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keys {
    /// Messages have no key.
    #[default]
    None,
    /// Each of so many keys is as likely as the others.
    Uniform(u64),
    /// Key number `k` of so many, from 1, is drawn in proportion to `1 / k^exponent`.
    Zipf(u64, f64),
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Keys, String> {
        let wrong = || format!("expected none, uniform:COUNT or zipf:COUNT[,EXPONENT]: {text:?}");
        let count = |digits: &str| match digits.parse() {
            Ok(count) if (1..=KEYS_MAX).contains(&count) => Ok(count),
            _ => Err(wrong()),
        };
        match text.split_once(':') {
            None if text == "none" => Ok(Keys::None),
            Some(("uniform", digits)) => Ok(Keys::Uniform(count(digits)?)),
            Some(("zipf", rest)) => {
                let (digits, exponent) = match rest.split_once(',') {
                    Some((digits, exponent)) => (digits, exponent.parse().map_err(|_| wrong())?),
                    None => (rest, EXPONENT_DEFAULT),
                };
                if !(exponent > 0.0 && exponent <= 10.0) {
                    return Err(format!(
                        "zipf: expected an exponent above 0, at most 10: {text:?}"
                    ));
                }
                Ok(Keys::Zipf(count(digits)?, exponent))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keys::None => write!(f, "none"),
            Keys::Uniform(count) => write!(f, "uniform:{count}"),
            Keys::Zipf(count, exponent) => write!(f, "zipf:{count},{exponent}"),
        }
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Keys {
    /// How many bytes each key has; 0 without keys.
    pub fn bytes(&self) -> usize {
        match self {
            Keys::None => 0,
            Keys::Uniform(count) | Keys::Zipf(count, _) => (count - 1).to_string().len(),
        }
    }
}

/// Random numbers that are the same in every run (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `count`.
    pub fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(count)) >> 64) as u64
    }

    /// From 0, and below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws keys.
#[derive(Clone, Debug)]
pub struct Sampler {
    keys: Keys,
    digits: usize,
    zipf: Zipf,
    text: Vec<u8>,
}

impl Sampler {
    /// Draws from these.
    pub fn new(keys: Keys) -> Sampler {
        let zipf = match keys {
            Keys::Zipf(count, exponent) => Zipf::new(count, exponent),
            _ => Zipf::new(1, 1.0),
        };
        Sampler { keys, digits: keys.bytes(), zipf, text: Vec::new() }
    }

    /// The next key; `None` when messages have none.
    pub fn draw(&mut self, random: &mut Random) -> Option<&[u8]> {
        let mut number = match self.keys {
            Keys::None => return None,
            Keys::Uniform(count) => random.below(count),
            Keys::Zipf(..) => self.zipf.draw(random) - 1,
        };
        self.text.resize(self.digits, 0);
        for digit in self.text.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Some(&self.text)
    }
}

/// Zipf's law by rejection and inversion (Hörmann and Derflinger 1996): the same cost for any
/// number of keys, and no table.
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    low: f64,
    high: f64,
    shortcut: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Zipf {
        let mut zipf = Zipf { count: count as f64, exponent, low: 0.0, high: 0.0, shortcut: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.count + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    /// 1 to the count.
    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.high + random.unit() * (self.low - self.high);
            let x = self.inverse(area);
            let k = (x + 0.5).floor().clamp(1.0, self.count);
            if k - x <= self.shortcut || area >= self.integral(k + 0.5) - self.weight(k) {
                return k as u64;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the weight from 1 to `x`.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() > 1e-8 { power.exp_m1() / power * log } else { log * (1.0 + power / 2.0) }
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = (area * (1.0 - self.exponent)).max(-1.0);
        let log = if power.abs() > 1e-8 {
            power.ln_1p() / power * area
        } else {
            area * (1.0 - power / 2.0)
        };
        log.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_shown() {
        for (text, keys) in [
            ("none", Keys::None),
            ("uniform:1000", Keys::Uniform(1000)),
            ("zipf:50,1.2", Keys::Zipf(50, 1.2)),
        ] {
            assert_eq!(text.parse(), Ok(keys));
            assert_eq!(keys.to_string(), text);
        }
        assert_eq!("zipf:50".parse(), Ok(Keys::Zipf(50, EXPONENT_DEFAULT)));
        for text in ["", "uniform", "uniform:0", "zipf:5,0", "zipf:5,x", "zipf:5,NaN", "even:4"] {
            assert!(text.parse::<Keys>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_have_the_same_length_and_all_are_drawn() {
        let mut seen = std::collections::BTreeMap::new();
        let (mut sampler, mut random) = (Sampler::new(Keys::Uniform(101)), Random::default());
        for _ in 0..101_000 {
            let key = sampler.draw(&mut random).unwrap();
            assert_eq!(key.len(), 3);
            *seen.entry(key.to_vec()).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 101);
        assert!(seen.values().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(Sampler::new(Keys::None).draw(&mut random), None);
    }

    #[test]
    fn zipf_is_zipf() {
        const DRAWS: usize = 200_000;
        for (count, exponent) in [(1000, 0.5), (1000, 0.99), (1000, 1.0), (1000, 2.0), (2, 1.0)] {
            let zipf = Zipf::new(count, exponent);
            let mut random = Random::default();
            let mut seen = vec![0_usize; count as usize];
            (0..DRAWS).for_each(|_| seen[zipf.draw(&mut random) as usize - 1] += 1);
            let sum: f64 = (1..=count).map(|k| (k as f64).powf(-exponent)).sum();
            for k in [1_usize, 2, 5, 100] {
                let Some(&found) = seen.get(k - 1) else { continue };
                let expected = (k as f64).powf(-exponent) / sum * DRAWS as f64;
                let tolerance = 5.0 * expected.sqrt();
                assert!(
                    (found as f64 - expected).abs() < tolerance,
                    "zipf:{count},{exponent} key {k}: {found} of {expected}"
                );
            }
        }
        // A count that no table would hold.
        let zipf = Zipf::new(KEYS_MAX, 0.99);
        let mut random = Random::default();
        assert!((0..1000).all(|_| (1..=KEYS_MAX).contains(&zipf.draw(&mut random))));
    }
}
