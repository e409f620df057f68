//! HTTP/1.1 messages as they come over a connection, for whoever stands between a client and a service.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// Far more than any request of ours has.
const MOST_HEADER_LINES: usize = 200;

/// An HTTP/1.1 message as it came: the first line, the headers, the body with its framing.
pub struct Message {
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    /// `None` at the end of the connection.
    pub async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Self>> {
        let mut lines = Vec::new();
        for _ in 0..MOST_HEADER_LINES {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                return Ok(Some(Self { lines, body: Vec::new() }));
            }
            lines.push(line);
        }
        panic!("more than {MOST_HEADER_LINES} header lines: {lines:?}");
    }

    /// Reads what follows the head. Without any framing, a request has no body and an answer lasts until the end.
    pub async fn read_body(&mut self, stream: &mut BufReader<TcpStream>, is_request: bool) -> std::io::Result<()> {
        if let Some(length) = self.header("content-length") {
            self.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut self.body).await?;
        } else if self.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
            self.read_chunks(stream).await?;
        } else if !is_request {
            stream.read_to_end(&mut self.body).await?;
        }
        Ok(())
    }

    async fn read_chunks(&mut self, stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
        loop {
            let at = self.body.len();
            stream.read_until(b'\n', &mut self.body).await?;
            let size = String::from_utf8_lossy(&self.body[at..]).trim().to_owned();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).unwrap();
            if size == 0 {
                break;
            }
            let at = self.body.len();
            self.body.resize(at + size + 2, 0);
            stream.read_exact(&mut self.body[at..]).await?;
        }
        // Trailers, if any, and the empty line.
        while stream.read_until(b'\n', &mut self.body).await? > 2 {}
        Ok(())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.lines.join("\r\n").into_bytes();
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// An answer of S3's own kind that says no, and that it says no more on this connection.
    pub fn refusal(status: u16) -> Self {
        let body =
            b"<Error><Code>ServiceUnavailable</Code><Message>Reduce your request rate.</Message></Error>".to_vec();
        let lines = [
            &format!("HTTP/1.1 {status} Refused"),
            "Content-Type: application/xml",
            &format!("Content-Length: {}", body.len()),
            "Connection: close",
        ];
        Self { lines: lines.map(str::to_owned).into(), body }
    }

    /// Turns over one bit in the middle of the body; a message without a body stays as it is.
    pub fn flip_a_byte(&mut self) {
        let middle = self.body.len() / 2;
        if let Some(byte) = self.body.get_mut(middle) {
            *byte ^= 0x10;
        }
    }

    /// How many of its bytes come before the middle of the body, or before the middle of the head where there is no body.
    pub fn half(&self) -> usize {
        let all = self.bytes().len();
        if self.body.is_empty() { all / 2 } else { all - self.body.len().div_ceil(2) }
    }

    pub fn line(&self) -> &str {
        self.lines[0].trim_end_matches(" HTTP/1.1")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines[1..].iter().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn take_header(&mut self, name: &str) -> Option<String> {
        let value = self.header(name)?.to_owned();
        self.lines.retain(|line| !line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)));
        Some(value)
    }

    /// The access key that signed the request, and the service: `Credential=KEY/day/region/service/aws4_request`.
    pub fn signed_for(&self) -> Option<(String, String)> {
        let credential = self.header("authorization")?.split_once("Credential=")?.1.split([',', ' ']).next()?;
        let mut scope = credential.split('/');
        let key = scope.next()?.to_owned();
        Some((key, scope.nth(2)?.to_owned()))
    }
}
