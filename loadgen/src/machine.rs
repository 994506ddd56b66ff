//! What a report says of where it was measured, and with what.

use serde::Serialize;

/// The machine of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's model.
    pub cpu: String,
    /// Logical processors, whether this process may use them or not.
    pub cores: usize,
}

/// This program.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Build {
    /// The crate's version.
    pub version: &'static str,
    /// The commit that was checked out when it was built; `none` outside a repository.
    pub commit: &'static str,
}

/// This program.
pub const BUILD: Build =
    Build { version: env!("CARGO_PKG_VERSION"), commit: env!("RINGLOG_COMMIT") };

impl Host {
    /// Asks the kernel. What it does not tell is empty, or 0.
    pub fn here() -> Host {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let of = |name: &'static str| {
            let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            lines.filter(move |(key, _)| key.trim() == name).map(|(_, value)| value.trim())
        };
        Host {
            name: read("/proc/sys/kernel/hostname").trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: of("model name").next().unwrap_or_default().to_owned(),
            cores: of("processor").count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_where_we_are() {
        let host = Host::here();
        assert!(host.cores > 0 && !host.name.is_empty() && !host.kernel.is_empty(), "{host:?}");
        assert!(!BUILD.commit.is_empty());
    }
}
