//! Stands in for AWS Lambda: gives a function's real executable one event over the runtime API, and takes its answer.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::measure::{Cost, watched};

/// The time limit of a function in milliseconds, which is Lambda's highest.
const INVOCATION_MS: u128 = 900_000;

/// No function of ours sends longer header blocks or answers.
const MOST_HEADERS: usize = 100;
const LONGEST_ANSWER_BYTES: u64 = 8 << 20;

/// The costs and the answer of an invocation.
#[derive(Debug)]
pub struct Invoked {
    /// From the start of a fresh process to its answer.
    pub cost: Cost,
    /// Seconds from the start of the process to its readiness for an event: the cold start.
    pub cold_start: f64,
    /// The function's answer.
    pub answer: Value,
}

/// Starts `function`, gives it `event` and waits for the answer.
pub fn invoke(function: &mut Command, event: &Value) -> Result<Invoked> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let said = tempfile::NamedTempFile::new()?;
    function.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
    for (name, value) in [("FUNCTION_NAME", "peers"), ("FUNCTION_VERSION", "1"), ("FUNCTION_MEMORY_SIZE", "1024")] {
        function.env(format!("AWS_LAMBDA_{name}"), value);
    }
    function.stdin(Stdio::null()).stdout(said.reopen()?).stderr(said.reopen()?);
    let began = Instant::now();
    let mut process = function.spawn().context("cannot start the function")?;
    // After its answer, the function asks for its next event and would wait forever. Lambda freezes it there.
    let ((conversation, wall), cost) = watched(process.id(), || (converse(&listener, event, began), began.elapsed()));
    process.kill()?;
    process.wait()?;
    let (cold_start, answer) = conversation
        .with_context(|| format!("the function said: {}", std::fs::read_to_string(said.path()).unwrap_or_default()))?;
    Ok(Invoked { cost: Cost { wall: wall.as_secs_f64(), ..cost }, cold_start, answer })
}

/// From the first request for an event to the answer.
fn converse(listener: &TcpListener, event: &Value, began: Instant) -> Result<(f64, Value)> {
    let next = listener.accept()?.0;
    let (request, _) = read(&next)?;
    if !request.starts_with("GET /2018-06-01/runtime/invocation/next") {
        bail!("it began with `{request}`");
    }
    let cold_start = began.elapsed().as_secs_f64();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let headers = format!(
        "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:peers\r\n",
        now + INVOCATION_MS
    );
    write(next, "200 OK", &headers, &event.to_string())?;
    let answer = listener.accept()?.0;
    let (request, body) = read(&answer)?;
    write(answer, "202 Accepted", "", "{}")?;
    if !request.ends_with("/response HTTP/1.1") {
        bail!("it answered `{request}`: {body}");
    }
    Ok((cold_start, serde_json::from_str(&body)?))
}

/// The request's first line and its body.
fn read(stream: &TcpStream) -> Result<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut chunked) = (0, false);
    for _ in 0..MOST_HEADERS {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let body = if chunked { read_chunked(&mut reader)? } else { read_bytes(&mut reader, length)? };
    Ok((first.trim().to_owned(), body))
}

fn read_bytes(reader: &mut impl BufRead, length: u64) -> Result<String> {
    if length > LONGEST_ANSWER_BYTES {
        bail!("an answer of {length} bytes");
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    Ok(body)
}

fn read_chunked(reader: &mut impl BufRead) -> Result<String> {
    let mut body = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16)?;
        body += &read_bytes(reader, length)?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn write(mut stream: TcpStream, status: &str, headers: &str, body: &str) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(stream.flush()?)
}
