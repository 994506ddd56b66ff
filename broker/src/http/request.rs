//! What is asked, and how it is answered: pure functions over bytes.

use std::sync::Arc;

/// Most bytes of a request's line and headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most headers.
const HEADERS_MAX: usize = 64;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Figures for Prometheus.
    Metrics,
    /// Whether the process does its work.
    Health,
    /// Whether it serves.
    Ready,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// That is no HTTP.
    Malformed,
    /// The head is larger than [`HEAD_BYTES_MAX`] or has too many headers.
    TooLarge,
    /// Not GET.
    Method,
    /// No such page.
    NotFound,
}

/// Reads a request's head; `None`: it is not whole yet. A body is not looked at.
pub fn parse(bytes: &[u8]) -> Option<Result<Page, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Refusal::TooLarge));
        }
        Err(_) => return Some(Err(Refusal::Malformed)),
    }
    if request.method != Some("GET") {
        return Some(Err(Refusal::Method));
    }
    let path = request.path.unwrap_or("").split('?').next();
    Some(match path {
        Some("/metrics") => Ok(Page::Metrics),
        Some("/health") => Ok(Page::Health),
        Some("/ready") => Ok(Page::Ready),
        _ => Err(Refusal::NotFound),
    })
}

/// An answer: its head, and a body that several may share.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status line and headers.
    pub head: Vec<u8>,
    /// What follows.
    pub body: Arc<str>,
}

impl Response {
    /// An answer with this status (`200 OK`) and body.
    pub fn new(status: &str, content_type: &str, body: Arc<str>) -> Response {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Response { head: head.into_bytes(), body }
    }

    /// An answer without a page.
    pub fn refusal(why: Refusal) -> Response {
        let (status, body) = match why {
            Refusal::Malformed => ("400 Bad Request", "This is not HTTP/1.1.\n"),
            Refusal::TooLarge => {
                ("431 Request Header Fields Too Large", "The request's head is too large.\n")
            }
            Refusal::Method => ("405 Method Not Allowed", "Only GET is served here.\n"),
            Refusal::NotFound => ("404 Not Found", "There is /metrics, /health and /ready here.\n"),
        };
        Response::new(status, "text/plain; charset=utf-8", body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let cases: [(&str, Result<Page, Refusal>); 9] = [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Ok(Page::Metrics)),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", Ok(Page::Metrics)),
            ("GET /health HTTP/1.1\r\n\r\n", Ok(Page::Health)),
            ("GET /ready HTTP/1.1\r\n\r\nbody", Ok(Page::Ready)),
            ("GET / HTTP/1.1\r\n\r\n", Err(Refusal::NotFound)),
            ("GET /metrics/../etc HTTP/1.1\r\n\r\n", Err(Refusal::NotFound)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Err(Refusal::Method)),
            ("\u{0}\u{0}\u{0}\u{1a}\u{0}\u{12}\r\n\r\n", Err(Refusal::Malformed)),
            ("GET /metrics HTTP/2.0\r\n\r\n", Err(Refusal::Malformed)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn a_head_ends_or_is_too_large() {
        let whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "cut at {cut}");
        }
        let long = [b"GET /health HTTP/1.1\r\nA: ".as_slice(), &[b'a'; HEAD_BYTES_MAX]].concat();
        assert_eq!(parse(&long[..HEAD_BYTES_MAX]), Some(Err(Refusal::TooLarge)));
        let many = "GET /health HTTP/1.1\r\n".to_string() + &"A: b\r\n".repeat(100) + "\r\n";
        assert_eq!(parse(many.as_bytes()), Some(Err(Refusal::TooLarge)));
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic() {
        let good = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".to_vec();
        for at in 0..good.len() {
            for byte in 0..=255u8 {
                let mut bad = good.clone();
                bad[at] = byte;
                // Any answer will do, but one it must be, or a wish for more.
                let answer = parse(&bad);
                assert!(answer.is_none_or(|answer| answer != Ok(Page::Ready)));
            }
        }
    }
}
