//! Where things are: the repository, the programs under test, caches and work folders.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::process;

/// The repository this program was built from, and the folder it was built into.
pub struct Place {
    root: PathBuf,
    binaries: PathBuf,
    is_built: bool,
    work: PathBuf,
}

impl Place {
    /// `work` is where data directories go: `target/perf` unless said, on the disk of the
    /// repository.
    /// `built` holds programs to be taken as they are; without it they are built from the sources.
    pub fn find(work: Option<PathBuf>, built: Option<PathBuf>) -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().ok_or("perf lies in no repository")?.to_path_buf();
        let executable = std::env::current_exe()?;
        let beside = executable.parent().ok_or("perf lies in no folder")?.to_path_buf();
        let is_built = built.is_some();
        let binaries = built.unwrap_or(beside).canonicalize()?;
        let work = work.unwrap_or_else(|| root.join("target/perf"));
        std::fs::create_dir_all(&work)?;
        let work = work.canonicalize()?;
        Ok(Self { root, binaries, is_built, work })
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was downloaded and is not in the repository.
    pub fn cache(&self) -> PathBuf {
        self.root.join("perf/cache")
    }

    /// The folder that holds the programs under test.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Where data directories go.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Brings programs of this workspace up to date, in the profile in which `perf` itself was
    /// built, and returns the folder that holds them.
    pub fn build(&self, packages: &[(&str, &str)]) -> Result<&Path, Failure> {
        if self.is_built {
            return Ok(&self.binaries);
        }
        let profile = match self.binaries.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let target = self.binaries.parent().ok_or("perf lies in no target folder")?;
        let mut command = cargo();
        command.current_dir(&self.root).args(["build", "--quiet", "--profile", profile]);
        command.arg("--target-dir").arg(target);
        for (package, binary) in packages {
            command.args(["--package", package, "--bin", binary]);
        }
        process::output_of(&mut command)?;
        Ok(&self.binaries)
    }

    /// Builds the librdkafka client, which is no member of the workspace, and returns its path.
    pub fn build_rdkafka_client(&self) -> Result<PathBuf, Failure> {
        let folder = self.root.join("perf/clients/rdkafka");
        let target = folder.join("target");
        let mut command = cargo();
        command.current_dir(&folder).args(["build", "--quiet", "--release", "--locked"]);
        command.arg("--target-dir").arg(&target);
        process::output_of(&mut command)?;
        Ok(target.join("release/client-rdkafka"))
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
