//! Log lines about what clients do wrong, limited in rate: a hostile client must not fill the disk
//! with them.

/// Lines of this kind in one tick.
const LINES_PER_TICK_MAX: u32 = 20;

/// Counts lines; see the module's head.
#[derive(Debug, Default)]
pub struct LineLimiter {
    written: u32,
    withheld: u64,
}

impl LineLimiter {
    /// Whether one more line may be written now.
    pub fn allow(&mut self) -> bool {
        if self.written < LINES_PER_TICK_MAX {
            self.written += 1;
            return true;
        }
        self.withheld += 1;
        false
    }

    /// Whether [`LineLimiter::report`] has something to say.
    pub fn is_withholding(&self) -> bool {
        self.withheld > 0
    }

    /// Begins a new tick, and says how many lines the last one withheld.
    pub fn report(&mut self) {
        if self.withheld > 0 {
            tracing::warn!(withheld = self.withheld, "more refusals, not logged one by one");
        }
        *self = LineLimiter::default();
    }
}
