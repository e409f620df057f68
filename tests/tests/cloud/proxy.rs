//! A proxy between functions and the cloud: it counts what one function asks of S3 and KMS, and kills it at one of those
//! requests.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lifeboat_local::Cloud;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Far more than any request of ours has.
const MOST_HEADER_LINES: usize = 200;

/// When the function dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request does not reach the service.
    Before,
    /// The service has carried it out; the answer does not reach the function.
    After,
}

/// A running proxy. Dropping it stops listening.
pub struct Proxy {
    url: String,
    watch: Arc<Mutex<Watch>>,
    listening: JoinHandle<()>,
}

/// What is known of the watched function.
struct Watch {
    upstream: String,
    process_group: u32,
    function: String,
    /// `METHOD /path?query` of each request to S3, `KMS` and the operation of each to KMS, since the last [`Proxy::begin`].
    requests: Vec<String>,
    death: Option<(usize, Moment)>,
    killed: Option<u32>,
    /// How many requests there were when it was killed: others of the same process may be on their way beside the fatal one.
    requests_in_life: usize,
}

impl Proxy {
    /// Listens on a free port for what goes to `cloud`, and watches `function`.
    pub async fn start(cloud: &Cloud, function: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let watch = Watch {
            upstream: cloud.endpoint().trim_start_matches("http://").to_owned(),
            process_group: cloud.process_group(),
            function: function.to_owned(),
            requests: Vec::new(),
            death: None,
            killed: None,
            requests_in_life: 0,
        };
        let watch = Arc::new(Mutex::new(watch));
        let shared = Arc::clone(&watch);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, Arc::clone(&shared)));
            }
        });
        Self { url, watch, listening }
    }

    /// The endpoint to give to the functions.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Watches another function.
    pub fn watch(&self, function: &str) {
        function.clone_into(&mut self.watch.lock().unwrap().function);
    }

    /// Counts from one again. The function's process is killed at its request number `death`, if one is given.
    pub fn begin(&self, death: Option<(usize, Moment)>) {
        let mut watch = self.watch.lock().unwrap();
        watch.requests.clear();
        watch.death = death;
        watch.killed = None;
    }

    /// The requests since [`Proxy::begin`].
    pub fn requests(&self) -> Vec<String> {
        self.watch.lock().unwrap().requests.clone()
    }

    /// How many requests a process made that had been killed before.
    pub fn requests_after_death(&self) -> usize {
        let watch = self.watch.lock().unwrap();
        watch.requests.len() - watch.requests_in_life
    }

    /// The id of the process that was killed since [`Proxy::begin`].
    pub fn killed(&self) -> Option<u32> {
        self.watch.lock().unwrap().killed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Watch {
    /// Takes note of a request; whether, and when, its sender is to die.
    fn note(&mut self, request: &Message) -> Option<(u32, Moment)> {
        let (access_key, service) = request.signed_for()?;
        let name = match service.as_str() {
            "s3" => request.line().to_owned(),
            // `TrentService.GenerateDataKey`.
            "kms" => format!("KMS {}", request.header("x-amz-target").unwrap_or_default()),
            _ => return None,
        };
        let sender = self.process_with(&access_key)?;
        self.requests.push(name);
        let (number, moment) = self.death?;
        (self.requests.len() == number).then_some((sender, moment))
    }

    /// The process of the watched function that has these credentials: each function has its role's own.
    fn process_with(&self, access_key: &str) -> Option<u32> {
        let wanted = [format!("AWS_ACCESS_KEY_ID={access_key}"), format!("AWS_LAMBDA_FUNCTION_NAME={}", self.function)];
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        processes.filter(|id| is_bootstrap(*id, self.process_group)).find(|id| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let has = |wanted: &String| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
            wanted.iter().all(has)
        })
    }

    /// SIGKILL: the process has no last word.
    fn kill(&mut self, process: u32) {
        assert!(is_bootstrap(process, self.process_group), "not a function of ours: {process}");
        let status = std::process::Command::new("kill").args(["-s", "KILL", &process.to_string()]).status().unwrap();
        assert!(status.success());
        self.killed = Some(process);
        self.requests_in_life = self.requests.len();
    }
}

/// Whether a process is a function of this cloud: its executable and its process group say so.
fn is_bootstrap(process: u32, group: u32) -> bool {
    let executable = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name in brackets: state, parent, group.
    let in_group = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2)) == Some(&group.to_string());
    in_group && executable.file_name() == Path::new("bootstrap").file_name()
}

/// One connection of a client: request after request, each over a connection of its own to the cloud.
async fn relay(client: TcpStream, watch: Arc<Mutex<Watch>>) {
    let mut client = BufReader::new(client);
    while let Ok(Some(mut request)) = Message::read_head(&mut client).await {
        // The upstream is not asked: it would answer with an interim response of its own.
        if request.take_header("expect").is_some() && client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
        {
            return;
        }
        let death = watch.lock().unwrap().note(&request);
        if let Some((process, Moment::Before)) = death {
            return watch.lock().unwrap().kill(process);
        }
        let upstream = watch.lock().unwrap().upstream.clone();
        // A client or a cloud that has gone away ends the connection, as it would without the proxy.
        let Ok(answer) = exchange(&mut client, &mut request, &upstream).await else { return };
        if let Some((process, Moment::After)) = death {
            return watch.lock().unwrap().kill(process);
        }
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Sends a request on, with its body, and returns the whole answer.
async fn exchange(
    client: &mut BufReader<TcpStream>,
    request: &mut Message,
    upstream: &str,
) -> std::io::Result<Vec<u8>> {
    request.read_body(client, true).await?;
    let mut cloud = BufReader::new(TcpStream::connect(upstream).await?);
    cloud.write_all(&request.bytes()).await?;
    let Some(mut answer) = Message::read_head(&mut cloud).await? else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    if !request.line().starts_with("HEAD ") && !answer.line().contains(" 204") && !answer.line().contains(" 304") {
        answer.read_body(&mut cloud, false).await?;
    }
    Ok(answer.bytes())
}

/// An HTTP/1.1 message as it came: the first line, the headers, the body with its framing.
struct Message {
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    /// `None` at the end of the connection.
    async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Self>> {
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
    async fn read_body(&mut self, stream: &mut BufReader<TcpStream>, is_request: bool) -> std::io::Result<()> {
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

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.lines.join("\r\n").into_bytes();
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn line(&self) -> &str {
        self.lines[0].trim_end_matches(" HTTP/1.1")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines[1..].iter().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn take_header(&mut self, name: &str) -> Option<String> {
        let value = self.header(name)?.to_owned();
        self.lines.retain(|line| !line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)));
        Some(value)
    }

    /// The access key that signed the request, and the service: `Credential=KEY/day/region/service/aws4_request`.
    fn signed_for(&self) -> Option<(String, String)> {
        let credential = self.header("authorization")?.split_once("Credential=")?.1.split([',', ' ']).next()?;
        let mut scope = credential.split('/');
        let key = scope.next()?.to_owned();
        Some((key, scope.nth(2)?.to_owned()))
    }
}
