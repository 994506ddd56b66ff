//! UpdateFeatures · key 57 · v0–2.  v1: only checking; the kind of change.  v2: one error for all.
//!
//! The controller decides ([`crate::metadata`]); the answer leaves when every shard works by the
//! new levels, so the next ApiVersions tells them.

use ringlog_wire::api::update_features::UpdateFeaturesRequest;

use super::{Outcome, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Most features of one request. There are fewer than ten.
const FEATURES_MAX: usize = 1000;

/// Passes an UpdateFeatures request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match UpdateFeaturesRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.feature_updates.len() > FEATURES_MAX {
        return Outcome::Close(format!("UpdateFeatures names more than {FEATURES_MAX} features"));
    }
    let key = shell.controls.insert(PendingControl::UpdateFeatures(request.reply_to()));
    shell.ask_controller(
        core,
        key,
        ControlAsk::UpdateFeatures(request.version, view),
        request.body.len(),
    );
    Outcome::Parked
}
