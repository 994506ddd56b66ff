//! Which client passed what: `perf/clients/results.json`, and the README's table made from it.
//!
//! Both are written by `cargo perf clients --write-readme` from a whole run. Every other run is
//! held to them: what stands there as passed must pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::program::{CHECKS, MORE, Outcome, Program, Said, TOOLS, family_of};
use crate::Failure;
use crate::place::Place;
use crate::process;
use crate::table::Table;

const BEGIN: &str = "<!-- clients:begin -->\n";
const END: &str = "<!-- clients:end -->";

/// What a whole run found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The ways of running Ringlog that were tried; a result is the worst among them.
    combinations: Vec<String>,
    clients: Vec<ClientResults>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClientResults {
    name: String,
    version: String,
    checks: BTreeMap<String, CheckResult>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CheckResult {
    result: Outcome,
    /// What is absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl Results {
    /// The worst that each client said of each check.
    pub fn of(
        programs: &[Program],
        combinations: Vec<String>,
        runs: &[BTreeMap<String, Said>],
    ) -> Self {
        let mut clients = Vec::new();
        for program in programs {
            let mut checks = BTreeMap::<String, CheckResult>::new();
            for line in runs.iter().filter_map(|run| run.get(program.name)).flat_map(Said::values) {
                let is_absent = line.result == Outcome::Absent;
                let detail = if is_absent { line.detail.clone() } else { String::new() };
                let found = CheckResult { result: line.result, detail };
                let kept = checks.entry(line.check.clone()).or_insert_with(|| found.clone());
                if found.result > kept.result {
                    *kept = found;
                }
            }
            let (name, version) = (program.name.to_string(), program.version.clone());
            clients.push(ClientResults { name, version, checks });
        }
        Self { combinations, clients }
    }

    /// The results that are checked in; nothing before the first.
    pub fn listed(place: &Place) -> Result<Self, Failure> {
        let path = path_of(place);
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// What passed by the list, or is not listed, and did not pass now.
    pub fn regressions(&self, listed: &Self) -> Vec<String> {
        let mut complaints = Vec::new();
        for client in &self.clients {
            let before = listed.clients.iter().find(|other| other.name == client.name);
            for (check, found) in &client.checks {
                let was = before.and_then(|client| client.checks.get(check)).map(|one| one.result);
                let is_worse = match was {
                    Some(was) => found.result > was,
                    None => found.result == Outcome::Fail,
                };
                if is_worse {
                    let was = was.map_or("not listed".to_string(), |was| format!("{was:?}"));
                    let now = found.result;
                    complaints.push(format!("{} {check}: {now:?}, listed: {was}", client.name));
                }
            }
        }
        complaints
    }

    /// Writes the results and the README's table.
    pub fn write(&self, place: &Place) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        process::write_file(&path_of(place), text.as_bytes())?;
        let path = place.root().join("README.md");
        let readme = fs::read_to_string(&path)?;
        process::write_file(&path, with_table(&readme, &self.markdown())?.as_bytes())
    }

    /// The table by families of checks, and under it what is absent or fails.
    pub fn markdown(&self) -> String {
        let mut families: Vec<&str> = Vec::new();
        for check in CHECKS.iter().chain(&MORE) {
            if !families.contains(&family_of(check)) {
                families.push(family_of(check));
            }
        }
        families.push(family_of(TOOLS));
        let mut heading = vec!["client"];
        heading.extend(&families);
        let mut table = Table::new(&heading);
        for client in &self.clients {
            let mut row = vec![format!("{} {}", client.name, client.version)];
            row.extend(families.iter().map(|family| client.cell(family)));
            table.push(row);
        }
        let mut text = table.text();
        text.push_str("\nPassed of asked; a dash: the client has no such feature.\n\n");
        for client in &self.clients {
            for (what, checks) in client.remarks() {
                text.push_str(&format!("- {}: {what}: {}.\n", client.name, checks.join(", ")));
            }
            let tools = client.tools();
            if !tools.is_empty() {
                text.push_str(&format!("- {}: {}.\n", client.name, tools.join(", ")));
            }
        }
        text
    }
}

impl ClientResults {
    fn cell(&self, family: &str) -> String {
        self.counted(|check| family_of(check) == family)
    }

    /// How many of these checks passed, and of how many.
    fn counted(&self, is_meant: impl Fn(&str) -> bool) -> String {
        let meant = self.checks.iter().filter(|(check, _)| is_meant(check));
        let results: Vec<Outcome> = meant.map(|(_, one)| one.result).collect();
        let count = |outcome| results.iter().filter(|one| **one == outcome).count();
        match (count(Outcome::Pass), count(Outcome::Fail)) {
            (0, 0) => "–".to_string(),
            (passed, 0) => format!("{passed}/{passed}"),
            (passed, failed) => format!("**{passed}/{}**", passed + failed),
        }
    }

    /// How each command line class fared.
    fn tools(&self) -> Vec<String> {
        let mut tools: Vec<&str> = self.checks.keys().filter_map(|check| tool_of(check)).collect();
        tools.dedup();
        let told =
            |tool: &str| format!("{tool} {}", self.counted(|one| tool_of(one) == Some(tool)));
        tools.into_iter().map(told).collect()
    }

    /// What is absent, by its reason, and what fails.
    fn remarks(&self) -> Vec<(String, Vec<&str>)> {
        let mut remarks = Vec::<(String, Vec<&str>)>::new();
        let order = |check: &str| CHECKS.iter().chain(&MORE).position(|one| *one == check);
        let mut checks: Vec<_> = self.checks.iter().collect();
        checks.sort_by_key(|(check, _)| order(check).unwrap_or(usize::MAX));
        for (check, one) in checks {
            let what = match one.result {
                Outcome::Absent => one.detail.clone(),
                Outcome::Fail => "fails".to_string(),
                Outcome::Pass => continue,
            };
            match remarks.iter_mut().find(|(other, _)| *other == what) {
                Some((_, checks)) => checks.push(check),
                None => remarks.push((what, vec![check])),
            }
        }
        remarks
    }
}

/// The command line class that a check is of.
fn tool_of(check: &str) -> Option<&str> {
    check.strip_prefix(TOOLS)?.split('/').next()
}

fn path_of(place: &Place) -> PathBuf {
    place.root().join("perf/clients/results.json")
}

fn with_table(readme: &str, table: &str) -> Result<String, Failure> {
    let missing = || format!("README.md lacks {}...{END}", BEGIN.trim_end());
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::program::Line;

    fn results(outcomes: &[(&str, Outcome)]) -> Results {
        let line = |(check, result): &(&str, Outcome)| Line {
            check: check.to_string(),
            result: *result,
            detail: "no such thing".into(),
            answer: String::new(),
        };
        let said = outcomes.iter().map(line).map(|line| (line.check.clone(), line)).collect();
        let (command, has_scenario, is_alone) = (Vec::new(), true, false);
        let program =
            Program { name: "kcat", version: "1".into(), command, has_scenario, is_alone };
        let run = BTreeMap::from([("kcat".to_string(), said)]);
        Results::of(&[program], vec!["1 shard, node".into()], &[run])
    }

    #[test]
    fn worse_than_listed_is_a_regression() {
        use Outcome::{Absent, Fail, Pass};
        for (listed, found, count) in [
            (Some(Pass), Pass, 0),
            (Some(Pass), Absent, 1),
            (Some(Pass), Fail, 1),
            (Some(Fail), Fail, 0),
            (Some(Fail), Pass, 0),
            (None, Fail, 1),
            (None, Absent, 0),
        ] {
            let listed = match listed {
                Some(outcome) => results(&[("nulls", outcome)]),
                None => Results::default(),
            };
            let complaints = results(&[("nulls", found)]).regressions(&listed);
            assert_eq!(complaints.len(), count, "{complaints:?}");
        }
    }

    #[test]
    fn the_table_counts_and_names_what_is_missing() {
        use Outcome::{Absent, Fail, Pass};
        let text = results(&[
            ("codec/none", Pass),
            ("codec/gzip", Fail),
            ("seek/offset", Absent),
            ("nulls", Pass),
            ("cli/kafka-topics/create", Pass),
            ("cli/kafka-topics/delete", Fail),
            ("cli/kafka-log-dirs/describe", Pass),
        ])
        .markdown();
        let row = text.lines().nth(2).unwrap().replace(' ', "");
        assert!(row.starts_with("|kcat1|**1/2**|–|–|–|1/1|"), "{row}");
        assert!(row.ends_with("|**2/3**|"), "{row}");
        assert!(text.contains("\n- kcat: fails: codec/gzip, cli/kafka-topics/delete.\n"), "{text}");
        assert!(text.contains("\n- kcat: no such thing: seek/offset.\n"), "{text}");
        assert!(text.contains("\n- kcat: kafka-log-dirs 1/1, kafka-topics **1/2**.\n"), "{text}");
    }

    #[test]
    fn the_readme_shows_the_results_that_are_checked_in() {
        let place = Place::find(Some(std::env::temp_dir()), Some(std::env::temp_dir())).unwrap();
        let readme = fs::read_to_string(place.root().join("README.md")).unwrap();
        let table = Results::listed(&place).unwrap().markdown();
        assert!(with_table(&readme, &table).unwrap() == readme, "run perf clients --write-readme");
    }
}
