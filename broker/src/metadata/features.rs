//! Feature levels: what a fresh cluster is given, and what this build can work at.
//!
//! Invariant: the levels of [`FRESH`] lie within [`SUPPORTED`]. A log whose metadata.version this
//! build does not know is refused, never read with records missing.
//!
//! Kafka 4.3.1 also gives a fresh cluster share.version 1 and streams.version 1. This build serves
//! neither group type, so it does not say so; `kafka-features` can raise them after a change to
//! Kafka.

use super::image::FeatureRange;

/// The feature that gates record and request versions.
pub const METADATA_VERSION: &str = "metadata.version";
/// Its level as 4.3-IV0.
pub const METADATA_VERSION_LEVEL: i16 = 30;
/// The quorum's own feature: kept in control records, not in FeatureLevel records.
pub const KRAFT_VERSION: &str = "kraft.version";

/// Whether a partition remembers who may lead it beside its in-sync replicas.
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// Levels of a fresh cluster, in the order Kafka writes them.
pub const FRESH: &[(&str, i16)] = &[
    (METADATA_VERSION, METADATA_VERSION_LEVEL),
    (ELR_VERSION, 1),
    ("group.version", 1),
    ("transaction.version", 2),
];

/// What a node of this build registers with.
pub const SUPPORTED: &[(&str, i16, i16)] = &[
    (METADATA_VERSION, 7, METADATA_VERSION_LEVEL),
    (KRAFT_VERSION, 0, 1),
    (ELR_VERSION, 0, 1),
    ("group.version", 0, 1),
    ("transaction.version", 0, 2),
];

/// The registration's form of [`SUPPORTED`].
pub fn supported() -> Vec<FeatureRange> {
    SUPPORTED.iter().map(|&(name, min, max)| FeatureRange { name: name.into(), min, max }).collect()
}

/// True when this build can fold a log at that metadata.version.
pub fn knows_metadata_version(level: i16) -> bool {
    SUPPORTED
        .iter()
        .any(|&(name, min, max)| name == METADATA_VERSION && (min..=max).contains(&level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_levels_are_supported() {
        for (feature, level) in FRESH {
            assert!(
                SUPPORTED
                    .iter()
                    .any(|(name, min, max)| name == feature && (min..=max).contains(&level)),
                "{feature}"
            );
        }
    }
}
