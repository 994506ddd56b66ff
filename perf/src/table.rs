//! Markdown tables, and the few statistics that stand in them.

/// Rows of text under a heading, printed with aligned columns.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new(names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        assert!(row.len() == self.rows[0].len(), "each row fills each column");
        self.rows.push(row);
    }

    /// Its rows; the first one holds the names.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The table as Markdown.
    pub fn text(&self) -> String {
        let width_of = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width_of).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(&format!("| {cell:width$} "));
            }
            text.push_str("|\n");
            if index == 0 {
                for width in &widths {
                    text.push_str(&format!("|{}", "-".repeat(width + 2)));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// Median and range of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Spread {
    /// `None` without a measurement.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self { median, low, high })
    }

    /// In another unit.
    pub fn scaled(&self, scale: f64) -> Self {
        let Self { median, low, high } = *self;
        Self { median: median * scale, low: low * scale, high: high * scale }
    }

    /// `median (low–high)`, each with this many significant digits.
    pub fn text(&self) -> String {
        if self.low == self.high {
            return significant(self.median);
        }
        format!(
            "{} ({}–{})",
            significant(self.median),
            significant(self.low),
            significant(self.high)
        )
    }
}

/// A number with three significant digits, thousands separated.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    match magnitude {
        _ if magnitude >= 1000.0 => {
            let exponent = magnitude.log10().floor() as i32 - 2;
            let unit = 10f64.powi(exponent);
            grouped(((value / unit).round() * unit).round() as i64)
        }
        _ if magnitude >= 100.0 => format!("{value:.0}"),
        _ if magnitude >= 10.0 => format!("{value:.1}"),
        _ if magnitude >= 1.0 || magnitude == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "-".to_string() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.low, odd.high), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([7.0]).unwrap().text(), "7.00");
    }

    #[test]
    fn numbers() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.2513, "0.251"),
            (6.251, "6.25"),
            (62.51, "62.5"),
            (625.1, "625"),
            (1_534_321.0, "1,530,000"),
            (25_049_999.0, "25,000,000"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["a", "long"]);
        table.push(vec!["xyz".into(), "1".into()]);
        assert_eq!(table.text(), "| a   | long |\n|-----|------|\n| xyz | 1    |\n");
    }
}
