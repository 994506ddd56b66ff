//! A blocking connection to one broker: a request out, its answer in, in the latest version that
//! both sides speak.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use ringlog_shard::net;
use ringlog_wire::api::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ringlog_wire::api::{self, Api};
use ringlog_wire::client::encode_request;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::message::Message;
use ringlog_wire::{Reader, header};

/// Longest that a step may take: a connection, a request, an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read, bytes: a hundred thousand partitions take a tenth of it.
const ANSWER_BYTES_MAX: usize = 100 << 20;
const CLIENT_ID: &str = "ringlog-topic";

/// See the module's head.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    address: String,
    versions: Vec<ApiVersion>,
    correlation_id: i32,
}

impl Client {
    /// A connection to the first of `bootstrap` (`host:port,host:port`) that answers.
    ///
    /// # Errors
    /// Why none does.
    pub fn connect(bootstrap: &str) -> Result<Client, String> {
        let mut reasons = Vec::new();
        for address in bootstrap.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match Client::connect_to(address) {
                Ok(client) => return Ok(client),
                Err(why) => reasons.push(format!("{address}: {why}")),
            }
        }
        if reasons.is_empty() {
            return Err("--bootstrap-server: expected HOST:PORT, found nothing".into());
        }
        Err(format!(
            "no broker answers ({}); start one with `ringlog`, or say with --bootstrap-server \
             where it is",
            reasons.join("; ")
        ))
    }

    fn connect_to(address: &str) -> Result<Client, String> {
        let found = address
            .to_socket_addrs()
            .map_err(|error| format!("expected HOST:PORT of a broker: {error}"))?;
        let mut refusal = "the name has no address".to_string();
        for to in found {
            match net::connect(to, PATIENCE) {
                Ok(stream) => {
                    let (address, versions) = (address.to_string(), Vec::new());
                    let mut client = Client { stream, address, versions, correlation_id: 0 };
                    client.ask_versions()?;
                    return Ok(client);
                }
                Err(error) => refusal = error.to_string(),
            }
        }
        Err(refusal)
    }

    fn ask_versions(&mut self) -> Result<(), String> {
        let ask = ApiVersionsRequest::default();
        let answer: ApiVersionsResponse = self
            .exchange(&api::api_versions::API, 0, &ask)
            .map_err(|why| format!("{why}; is it a Kafka broker, and its port without TLS?"))?;
        if !answer.error_code.is_none() {
            return Err(format!("it does not say what it speaks: {}", answer.error_code.name()));
        }
        self.versions = answer.api_keys;
        Ok(())
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// The connection broke, or the two have no version in common.
    pub fn call<Q: Message, R: Message>(&mut self, api: &Api, request: &Q) -> Result<R, String> {
        let theirs = self.versions.iter().find(|entry| entry.api_key == api.key);
        let version = theirs
            .map(|theirs| (theirs.min_version.max(api.min), theirs.max_version.min(api.max)))
            .filter(|(low, high)| low <= high)
            .map(|(_, high)| high)
            .ok_or_else(|| format!("{} serves no {} that we speak", self.address, api.name))?;
        self.exchange(api, version, request).map_err(|why| format!("{}: {why}", self.address))
    }

    fn exchange<Q: Message, R: Message>(
        &mut self,
        api: &Api,
        version: i16,
        request: &Q,
    ) -> Result<R, String> {
        self.correlation_id += 1;
        let id = self.correlation_id;
        let write = |out: &mut Vec<u8>| request.write(version, out);
        let frame = encode_request(api, version, id, Some(CLIENT_ID), write);
        let broken = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(&frame).map_err(broken)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).map_err(broken)?;
        let size = usize::try_from(i32::from_be_bytes(size)).ok();
        let size = size.filter(|size| *size <= ANSWER_BYTES_MAX).ok_or("no Kafka answer came")?;
        let mut body = Vec::new();
        let got = Read::by_ref(&mut self.stream)
            .take(size as u64)
            .read_to_end(&mut body)
            .map_err(broken)?;
        if got < size {
            return Err("the connection ended within an answer".into());
        }
        let unreadable = |error| format!("an answer that cannot be read: {error}");
        let (found, body) = header::parse_response(api, version, &body).map_err(unreadable)?;
        if found != id {
            return Err("an answer to another request came".into());
        }
        R::read_from(version, &mut Reader::new(body)).map_err(unreadable)
    }
}

/// A refusal in words: the broker's own, or the code's name.
pub fn refusal(code: ErrorCode, message: Option<&str>) -> String {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{message} ({})", code.name()),
        None => code.name().to_string(),
    }
}
