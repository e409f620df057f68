//! A proxy between functions and the cloud: it counts what one function asks of S3 and KMS, and does something to it at one
//! or more of those requests.

use std::sync::{Arc, Mutex};

use lifeboat_bench::Gate;
use lifeboat_local::Cloud;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::http::Message;
use crate::process;

/// When the function dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request does not reach the service.
    Before,
    /// The service has carried it out; the answer does not reach the function.
    After,
}

/// What is done at a request.
#[derive(Clone)]
pub enum Act {
    /// The process of the function is killed.
    Die(Moment),
    /// The service is not asked; this status is the answer.
    Answer(u16),
    /// There is no answer, and the service is not asked.
    Hang,
    /// The request waits at the gate before it goes on.
    Hold(Gate),
    /// The service has carried it out, and the answer breaks off in the middle.
    CutBody,
    /// The service has carried it out, and one bit in the middle of the answer's body is turned over.
    FlipByte,
}

/// What is done, and at which requests.
#[derive(Clone)]
pub struct Fault {
    at: At,
    act: Act,
}

#[derive(Clone)]
enum At {
    Number(usize),
    First(Vec<String>),
    Each(Vec<String>),
}

impl Fault {
    /// At the request of this number, counted from one.
    pub fn nth(number: usize, act: Act) -> Self {
        Self { at: At::Number(number), act }
    }

    /// At the first request whose name has all of these parts.
    pub fn first(parts: &[&str], act: Act) -> Self {
        Self { at: At::First(parts.iter().map(|part| (*part).to_owned()).collect()), act }
    }

    /// At each request whose name has all of these parts.
    pub fn each(parts: &[&str], act: Act) -> Self {
        Self { at: At::Each(parts.iter().map(|part| (*part).to_owned()).collect()), act }
    }

    fn is_at(&self, number: usize, name: &str, met: usize) -> bool {
        let has = |parts: &[String]| parts.iter().all(|part| name.contains(part.as_str()));
        match &self.at {
            At::Number(wanted) => number == *wanted,
            At::First(parts) => met == 0 && has(parts),
            At::Each(parts) => has(parts),
        }
    }
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
    fault: Option<Fault>,
    /// How many requests have met the fault.
    met: usize,
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
            fault: None,
            met: 0,
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

    /// Counts from one again, with this fault or with none.
    pub fn begin(&self, fault: Option<Fault>) {
        let mut watch = self.watch.lock().unwrap();
        watch.requests.clear();
        watch.fault = fault;
        watch.met = 0;
        watch.killed = None;
    }

    /// How many requests have met the fault since [`Proxy::begin`].
    pub fn met(&self) -> usize {
        self.watch.lock().unwrap().met
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
    /// Takes note of a request; which process sent it, and what is to be done.
    fn note(&mut self, request: &Message) -> Option<(u32, Act)> {
        let (access_key, service) = request.signed_for()?;
        let name = match service.as_str() {
            "s3" => request.line().to_owned(),
            // `TrentService.GenerateDataKey`.
            "kms" => format!("KMS {}", request.header("x-amz-target").unwrap_or_default()),
            _ => return None,
        };
        let sender = self.process_with(&access_key)?;
        self.requests.push(name.clone());
        let fault = self.fault.as_ref().filter(|fault| fault.is_at(self.requests.len(), &name, self.met))?;
        self.met += 1;
        Some((sender, fault.act.clone()))
    }

    /// The process of the watched function that has these credentials: each function has its role's own.
    fn process_with(&self, access_key: &str) -> Option<u32> {
        process::find(self.process_group, &self.function, &[format!("AWS_ACCESS_KEY_ID={access_key}")]).first().copied()
    }

    fn kill(&mut self, process: u32) {
        process::kill(self.process_group, process);
        self.killed = Some(process);
        self.requests_in_life = self.requests.len();
    }
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
        let note = watch.lock().unwrap().note(&request);
        let act = note.as_ref().map(|(_, act)| act);
        match &note {
            Some((process, Act::Die(Moment::Before))) => return watch.lock().unwrap().kill(*process),
            Some((_, Act::Hang)) => return wait_for_the_end(&mut client).await,
            Some((_, Act::Hold(gate))) => gate.wait().await,
            _ => {}
        }
        let upstream = watch.lock().unwrap().upstream.clone();
        let answer = match act {
            Some(Act::Answer(status)) => refuse(&mut client, &mut request, *status).await,
            _ => exchange(&mut client, &mut request, &upstream).await,
        };
        // A client or a cloud that has gone away ends the connection, as it would without the proxy.
        let Ok(mut answer) = answer else { return };
        let mut whole = answer.bytes().len();
        match &note {
            Some((process, Act::Die(Moment::After))) => return watch.lock().unwrap().kill(*process),
            Some((_, Act::CutBody)) => whole = answer.half(),
            Some((_, Act::FlipByte)) => answer.flip_a_byte(),
            _ => {}
        }
        let bytes = answer.bytes();
        if client.write_all(&bytes[..whole]).await.is_err() || whole < bytes.len() {
            return;
        }
    }
}

/// Nothing is said, until the client has had enough.
async fn wait_for_the_end(client: &mut BufReader<TcpStream>) {
    let mut unread = vec![0; 64 * 1024];
    while client.read(&mut unread).await.is_ok_and(|length| length > 0) {}
}

/// Takes a request with its body and says no.
async fn refuse(client: &mut BufReader<TcpStream>, request: &mut Message, status: u16) -> std::io::Result<Message> {
    request.read_body(client, true).await?;
    Ok(Message::refusal(status))
}

/// Sends a request on, with its body, and returns the whole answer.
async fn exchange(
    client: &mut BufReader<TcpStream>,
    request: &mut Message,
    upstream: &str,
) -> std::io::Result<Message> {
    request.read_body(client, true).await?;
    let mut cloud = BufReader::new(TcpStream::connect(upstream).await?);
    cloud.write_all(&request.bytes()).await?;
    let Some(mut answer) = Message::read_head(&mut cloud).await? else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    if !request.line().starts_with("HEAD ") && !answer.line().contains(" 204") && !answer.line().contains(" 304") {
        answer.read_body(&mut cloud, false).await?;
    }
    Ok(answer)
}
