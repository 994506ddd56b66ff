//! DescribeCluster · key 60 · v0–2.  v1: brokers or controllers.  v2: fenced brokers.
//!
//! Brokers and controller are those that Metadata names: with `advertise = shard` every shard is a
//! broker. A broker does not speak for controllers, as in Kafka. Fenced brokers are those that the
//! metadata log still registers beside this node.

use ringlog_wire::api::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINTS_BROKERS,
    ENDPOINTS_CONTROLLERS,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request, operations};
use crate::shell::{Shell, topology};

/// Answers a DescribeCluster request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match DescribeClusterRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let response = match view.endpoint_type {
        ENDPOINTS_BROKERS => answer(shell, &view),
        ENDPOINTS_CONTROLLERS => refused(
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of \
             type CONTROLLER"
                .into(),
        ),
        other => {
            let text = format!("Unsupported endpoint type {other}");
            refused(ErrorCode::UnsupportedEndpointType, text)
        }
    };
    Outcome::Reply(request.reply_to().answer(&response))
}

fn refused(error_code: ErrorCode, text: String) -> DescribeClusterResponse {
    let error_message = Some(text);
    DescribeClusterResponse { error_code, error_message, ..DescribeClusterResponse::default() }
}

fn answer(shell: &Shell, view: &DescribeClusterRequest) -> DescribeClusterResponse {
    let config = &shell.shared.config;
    let own = topology::brokers(config).into_iter().map(|broker| DescribeClusterBroker {
        broker_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        is_fenced: false,
    });
    let others = shell.image.brokers.values().filter(|broker| broker.id != config.node_id);
    let fenced = others.filter(|broker| view.include_fenced_brokers && broker.fenced);
    let fenced = fenced.filter_map(|broker| {
        let endpoint = broker.endpoints.first()?;
        Some(DescribeClusterBroker {
            broker_id: broker.id,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            is_fenced: true,
        })
    });
    DescribeClusterResponse {
        cluster_id: shell.image.cluster_id.to_string(),
        // As in Metadata: requests for the controller are passed on inside.
        controller_id: shell.broker_of_shard(0),
        brokers: own.chain(fenced).collect(),
        cluster_authorized_operations: match view.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => operations::UNKNOWN,
        },
        ..DescribeClusterResponse::default()
    }
}
