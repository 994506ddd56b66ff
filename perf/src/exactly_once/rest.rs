//! As much HTTP as Kafka Connect's REST interface needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::Failure;

const CONNECT_WAIT_MAX: Duration = Duration::from_millis(500);
/// A worker waits for others that long before it answers.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(95);

/// Sends a request and returns the status and what came with it; no content is `null`.
pub fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    content: Option<&Value>,
) -> Result<(u16, Value), Failure> {
    let content = content.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_WAIT_MAX)?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Accept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{content}",
        content.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Result<(u16, Value), Failure> {
    let cut = || format!("not HTTP: {answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut)?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { joined(body).ok_or_else(cut)? } else { body.to_string() };
    let value = if body.is_empty() { Value::Null } else { serde_json::from_str(&body)? };
    Ok((status, value))
}

fn joined(mut body: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(text);
        }
        text.push_str(rest.get(..length)?);
        body = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_whole_and_in_chunks() {
        let plain = "HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse(plain).unwrap(), (201, serde_json::json!({"a": 1})));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (200, serde_json::json!({"a": 1})));
        assert_eq!(parse("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), (204, Value::Null));
        for broken in ["", "HTTP/1.1 200 OK", &chunked[..chunked.len() - 9]] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
