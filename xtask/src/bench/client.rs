//! One HTTP/1.1 connection of a client, kept alive, over std's blocking sockets.
//!
//! Only what this server answers is understood: a status, and a body whose
//! length is in the head. A request is never sent twice, so that one without an
//! answer is always seen.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Without a byte from the server. The largest request here takes half a minute.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A head is a few hundred bytes, and an embedding five thousand.
const READ_BYTES: usize = 16 << 10;

/// A client with at most one connection.
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
    /// What was read.
    bytes: Vec<u8>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// What the head says of the answer.
struct Head {
    len: usize,
    status: u16,
    body_len: usize,
    /// The server will close the connection.
    last: bool,
}

/// A request as it is sent.
pub(super) fn post(path: &str, body: &Value) -> Vec<u8> {
    post_bytes(path, &body.to_string())
}

/// The same of any body.
pub(super) fn post_bytes(path: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A request without a body.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A new connection.
pub(super) fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, TIMEOUT).context("cannot connect")?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

impl Client {
    /// Connects with the first request.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
            bytes: vec![0; READ_BYTES],
        }
    }

    /// The next request takes a new connection.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The connection, for those who only want to have it.
    pub(super) fn into_connection(self) -> Option<TcpStream> {
        self.connection
    }

    /// Sends a request and waits for all of its answer.
    pub(super) fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        connection.write_all(request).context("cannot send")?;
        let (answer, last) = receive(&mut connection, &mut self.bytes)?;
        if !last {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// The body of an answer that must be 200.
    pub(super) fn body(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Answer { status, body } = self.send(request)?;
        if status != 200 {
            let body = String::from_utf8_lossy(&body);
            let body: String = body.chars().take(200).collect();
            bail!("status {status}: {body}");
        }
        Ok(body)
    }
}

fn receive(connection: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<(Answer, bool)> {
    let mut filled = 0;
    let head = loop {
        if filled == bytes.len() {
            bytes.resize(2 * filled, 0);
        }
        let space = bytes.get_mut(filled..).unwrap_or_default();
        let read = connection.read(space).context("no answer")?;
        ensure!(read > 0, "closed without an answer, after {filled} bytes");
        filled += read;
        if let Some(head) = head(bytes.get(..filled).unwrap_or_default())? {
            break head;
        }
    };
    let begun = bytes.get(head.len..filled).unwrap_or_default();
    ensure!(begun.len() <= head.body_len, "more than one answer");
    let mut body = Vec::with_capacity(head.body_len);
    body.extend_from_slice(begun);
    let rest = body.len();
    body.resize(head.body_len, 0);
    let rest = body.get_mut(rest..).unwrap_or_default();
    connection.read_exact(rest).context("half an answer")?;
    let status = head.status;
    Ok((Answer { status, body }, head.last))
}

/// The head, when all of it is there.
fn head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return Ok(None);
    };
    let text = str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let mut body_len = None;
    let mut last = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body_len = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            last = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(Head {
        len: end + 4,
        status: status.context("no HTTP/1.1 answer")?,
        body_len: body_len.context("an answer without its length")?,
        last,
    }))
}

#[cfg(test)]
mod tests {
    use super::{Client, get};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn answers_come_in_pieces_over_connections_that_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            for answer in [
                &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "\r\nO", "K!"][..],
                &["HTTP/1.1 404 no\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"],
            ] {
                let mut request = [0; 64];
                let _ = first.read(&mut request).unwrap();
                for piece in answer {
                    first.write_all(piece.as_bytes()).unwrap();
                }
            }
            let (_second, _) = listener.accept().unwrap();
        });
        let mut client = Client::new(address);
        assert_eq!(client.body(&get("/")).unwrap(), b"OK!");
        assert_eq!(client.send(&get("/")).unwrap().status, 404);
        assert!(client.send(&get("/")).is_err());
        server.join().unwrap();
    }
}
