//! The repository checks itself: what the style asks for and no compiler looks after.
//!
//! Each check lists all its offenders; the limits stand here.

#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Source, blanked};

const LINE_CHARACTERS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 900;
const CRATES: [&str; 6] = ["wire", "storage", "shard", "broker", "loadgen", "perf"];
/// The only edges between our crates (ARCHITECTURE.md).
const EDGES: [(&str, &[&str]); 6] = [
    ("wire", &[]),
    ("storage", &["wire"]),
    ("shard", &[]),
    ("broker", &["wire", "storage", "shard"]),
    ("loadgen", &["wire", "shard"]),
    ("perf", &["loadgen"]),
];
/// Where `unsafe` may stand: these modules and what lies under them.
const UNSAFE_DRAWER: [&str; 3] = ["shard/src/uring", "shard/src/ring", "shard/src/buf"];
/// Spelled so that this file does not contain them.
const UNFINISHED: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
const UNFINISHED_MACROS: [&str; 3] = ["todo!", "dbg!", "unimplemented!"];

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("perf lies in the repository").to_path_buf()
}

fn sources() -> Vec<Source> {
    let all = Source::all(&root(), &CRATES);
    assert!(all.len() > 20, "the sources were found");
    all
}

fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}\n", offenders.join("\n  "));
}

fn is_in_drawer(path: &str) -> bool {
    let is_in = |module: &str| {
        path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    UNSAFE_DRAWER.iter().any(|module| is_in(module))
}

#[test]
fn crates_depend_only_as_the_architecture_says() {
    let mut offenders = Vec::new();
    for (name, allowed) in EDGES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            if !section.contains("dependencies") {
                continue;
            }
            for other in CRATES {
                let crate_name =
                    if other == "broker" { "ringlog".into() } else { format!("ringlog-{other}") };
                let is_named = line.split([' ', '.', '=']).next() == Some(&crate_name);
                if is_named && !allowed.contains(&other) {
                    offenders.push(format!("{name} → {other} ({section})"));
                }
            }
        }
    }
    assert_none("edges between crates that the architecture does not have", &offenders);
}

#[test]
fn every_crate_is_known_here() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    let quoted: Vec<String> = CRATES.iter().map(|name| format!("\"{name}\"")).collect();
    assert_eq!(members, format!("members = [{}]", quoted.join(", ")));
}

#[test]
fn unsafe_has_one_drawer() {
    let mut offenders = Vec::new();
    for source in sources() {
        let is_test = source.path.contains("/tests/");
        if !is_in_drawer(&source.path) {
            let lines = source.words("unsafe").map(|at| source.line_of(at));
            offenders.extend(lines.map(|line| format!("{}:{line}: unsafe", source.path)));
        }
        let parts: Vec<&str> = source.path.split('/').collect();
        // shard's programs are crates of their own, without the drawer.
        let is_crate_root = match parts[..] {
            [name, "src", "lib.rs" | "main.rs"] => name != "shard",
            ["perf", "clients", _, "src", "main.rs"] => true,
            [_, "src", "bin", _] | [_, "src", "bin", _, "main.rs"] => true,
            _ => false,
        };
        if is_crate_root && !is_test && !source.code.contains("#![forbid(unsafe_code)]") {
            offenders.push(format!("{}: does not forbid unsafe code", source.path));
        }
    }
    assert_none("unsafe outside shard's uring, ring and buf", &offenders);
}

#[test]
fn lines_functions_and_files_are_short() {
    let mut offenders = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            offenders.push(format!("{}: {lines} lines", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            let length = line.chars().count();
            if length > LINE_CHARACTERS_MAX {
                offenders.push(format!("{}:{}: {length} characters", source.path, index + 1));
            }
        }
        for (name, first, lines) in functions(&source) {
            if lines > FUNCTION_LINES_MAX {
                offenders.push(format!("{}:{first}: fn {name}: {lines} lines", source.path));
            }
        }
    }
    assert_none("too long", &offenders);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut offenders = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            if words.any(|word| UNFINISHED.contains(&word)) {
                offenders.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
        for name in UNFINISHED_MACROS {
            let lines = source.code.match_indices(name).map(|(at, _)| source.line_of(at));
            offenders.extend(lines.map(|line| format!("{}:{line}: {name}", source.path)));
        }
    }
    assert_none("unfinished", &offenders);
}

/// A file that no `mod` names is compiled by nobody.
#[test]
fn no_file_is_dead() {
    let sources = sources();
    let mut modules = BTreeMap::<&str, String>::new();
    for source in &sources {
        let name = source.path.split('/').next().unwrap_or_default();
        modules.entry(name).or_default().push_str(&source.code);
    }
    let mut offenders = Vec::new();
    for source in &sources {
        let parts: Vec<&str> = source.path.split('/').collect();
        let (Some(crate_name), Some(file)) = (parts.first(), parts.last()) else { continue };
        // Cargo finds these by itself; nested projects have their own.
        let is_root = matches!(*file, "lib.rs" | "main.rs" | "build.rs")
            || matches!(parts[..], [_, "tests" | "benches" | "examples", _] | [_, "src", "bin", _])
            || matches!(parts[..], [_, "fuzz", "fuzz_targets", _]);
        if is_root {
            continue;
        }
        let module = match *file {
            "mod.rs" => parts[parts.len() - 2],
            other => other.trim_end_matches(".rs"),
        };
        let is_named = modules[crate_name].contains(&format!("mod {module};"));
        if !is_named {
            offenders.push(source.path.clone());
        }
    }
    assert_none("files that no module names", &offenders);
}

/// Name, first line and number of lines of every function with a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = source.code.as_bytes();
    let mut found = Vec::new();
    for at in source.words("fn") {
        let name: String = source.code[at + 2..]
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        // A pointer type has no name, a declaration ends before a body begins.
        let mut brackets = 0;
        let body = code[at..].iter().position(|byte| {
            match byte {
                b'(' | b'[' => brackets += 1,
                b')' | b']' => brackets -= 1,
                _ => {}
            }
            brackets < 0 || (brackets == 0 && matches!(byte, b'{' | b';' | b','))
        });
        let Some(body) = body.map(|offset| at + offset).filter(|body| code[*body] == b'{') else {
            continue;
        };
        let mut depth = 0;
        let end = code[body..].iter().position(|byte| {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let first = source.line_of(at);
        if let (false, Some(end)) = (name.is_empty(), end) {
            found.push((name, first, source.line_of(body + end) - first + 1));
        }
    }
    found
}

#[test]
fn literals_and_comments_are_no_code() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a "b\" {" c"#, "a         c"),
        ("a r#\"b \" c\"# d", "a            d"),
        ("f('{', '\\'', 'x') <'a>", "f(   ,     ,    ) <'a>"),
        ("b'\"' x", "b    x"),
    ] {
        assert_eq!(blanked(text), code);
    }
}

#[test]
fn functions_are_measured_with_their_signatures() {
    let text =
        "fn a(x: [u8; 2]) -> u8 {\n  \"}\";\n}\ntrait T { fn b(); fn c() {} }\ntype F = fn(u8);\n";
    let source = Source { path: String::new(), text: text.into(), code: blanked(text) };
    let expected = [("a".to_string(), 1, 3), ("c".to_string(), 4, 1)];
    assert_eq!(functions(&source), expected);
}
