//! What an experiment found, what it may be, and whether the promise was kept.

use std::fs;

use serde::Serialize;

use crate::Failure;
use crate::machine::Machine;
use crate::place::Place;
use crate::process;
use crate::table::{Table, significant};

/// One line of a result.
#[derive(Clone, Debug, Serialize)]
struct Row {
    part: &'static str,
    what: String,
    found: String,
    /// What it may be at most or at least; empty: it is only told.
    promise: String,
    is_kept: bool,
}

/// The lines of a result so far; each is printed as soon as it is known.
#[derive(Debug, Default)]
pub struct Promises {
    /// The part of the experiment that rows belong to from now on.
    pub part: &'static str,
    rows: Vec<Row>,
}

impl Promises {
    /// A line whose promise was judged by the caller.
    pub fn row(&mut self, what: &str, found: String, promise: String, is_kept: bool) {
        let mark = if is_kept { "" } else { "   BROKEN" };
        println!("  {what}: {found} {promise}{mark}");
        self.rows.push(Row { part: self.part, what: what.into(), found, promise, is_kept });
    }

    /// Something that is only told.
    pub fn note(&mut self, what: &str, found: String) {
        self.row(what, found, String::new(), true);
    }

    /// A measurement with an upper limit.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        let found = format!("{} {unit}", significant(value));
        self.row(what, found, format!("≤ {} {unit}", significant(limit)), value <= limit);
    }

    /// A measurement with a lower limit.
    pub fn at_least(&mut self, what: &str, value: f64, limit: f64, unit: &str) {
        let found = format!("{} {unit}", significant(value));
        self.row(what, found, format!("≥ {} {unit}", significant(limit)), value >= limit);
    }

    /// A count that must be this one.
    pub fn exactly(&mut self, what: &str, found: u64, wanted: u64) {
        self.row(what, found.to_string(), format!("= {wanted}"), found == wanted);
    }

    /// Prints the table and keeps it in a results folder.
    ///
    /// # Errors
    /// When a promise was broken, after the results are kept.
    pub fn report(
        self,
        place: &Place,
        machine: &Machine,
        is_quick: bool,
        experiment: &str,
    ) -> Result<(), Failure> {
        let mut table = Table::new(&["part", "what", "found", "promise", "kept"]);
        for row in &self.rows {
            let kept = match (row.promise.is_empty(), row.is_kept) {
                (true, _) => "",
                (_, true) => "yes",
                (_, false) => "NO",
            };
            table.push(vec![
                row.part.into(),
                row.what.clone(),
                row.found.clone(),
                row.promise.clone(),
                kept.into(),
            ]);
        }
        let text = format!("{}\n\n{}", machine.line(), table.text());
        println!("\n{text}");
        let folder = crate::bench::results::folder(place, machine, is_quick, experiment)?;
        fs::create_dir_all(&folder)?;
        let mut lines = String::new();
        for row in &self.rows {
            lines.push_str(&serde_json::to_string(row)?);
            lines.push('\n');
        }
        process::write_file(&folder.join("rows.jsonl"), lines.as_bytes())?;
        process::write_file(&folder.join("README.md"), text.as_bytes())?;
        println!("rows: {}", folder.display());
        match self.rows.iter().filter(|row| !row.is_kept).count() {
            0 => Ok(()),
            broken => Err(format!("{broken} promises were broken").into()),
        }
    }
}
