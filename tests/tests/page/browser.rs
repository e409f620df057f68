//! Chromium without a window: shows a page, takes its picture, and says what it found.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lifeboat_local::{install, target_dir};
use lifeboat_report::PAGE_POLICY;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const PROGRAM: &str = "/usr/bin/chromium";

/// It neither asks anybody on the network nor keeps anything.
const QUIET: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
];

/// Long enough for the slowest start of a browser on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(90);

/// Marks what the page around the page reports, among whatever else the console says.
const REPORT: &str = "LOOKED ";

/// A line of the console in the log.
const CONSOLE: &str = ":CONSOLE";

/// The page in a frame of this width: a window of Chromium's own is never as narrow as a phone.
const AROUND: &str = r#"<!doctype html><title>a look</title><link rel="icon" href="data:,">
<style>html,body{margin:0;background:#888}iframe{border:0;display:block;color-scheme:SCHEME}</style>
<iframe id="page" src="/page" width="WIDTH" height="HEIGHT"></iframe>
<script>
const light = (text) => {
  const [r, g, b] = text.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/^rgba.*, 0\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
document.getElementById("page").addEventListener("load", (event) => {
  const seen = event.target.contentDocument;
  let least = 21, faintest = "";
  for (const one of seen.body.querySelectorAll("*")) {
    const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!says || one.closest("svg")) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least) { least = contrast; faintest = one.outerHTML.slice(0, 90); }
  }
  const width = seen.documentElement.scrollWidth;
  const dark = event.target.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches;
  console.log("LOOKED " + JSON.stringify({ width, least, faintest, dark, height: seen.documentElement.scrollHeight }));
});
</script>"#;

/// How it is looked at.
pub struct Look {
    pub width: u32,
    pub dark: bool,
}

/// What was seen.
pub struct Seen {
    /// What the console said.
    pub console: Vec<String>,
    /// As wide as the window, or wider.
    pub page_width: u32,
    /// The lowest contrast of any text with its background, as WCAG computes it.
    pub least_contrast: f64,
    /// The text with the lowest contrast.
    pub faintest: String,
}

pub struct Browser;

impl Browser {
    /// Finds Chromium, or installs it.
    pub fn find() -> anyhow::Result<Self> {
        if !PathBuf::from(PROGRAM).exists() {
            install("chromium")?;
        }
        Ok(Self)
    }

    /// Shows `html`, and keeps its picture below the target folder for people to look at.
    pub async fn show(&self, html: &str, look: &Look, name: &str) -> anyhow::Result<Seen> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let scheme = if look.dark { "dark" } else { "light" };
        let height = 2600;
        let around = AROUND
            .replace("WIDTH", &look.width.to_string())
            .replace("HEIGHT", &height.to_string())
            .replace("SCHEME", scheme);
        let serving = tokio::spawn(serve(listener, html.to_owned(), around));
        let pictures = target_dir().join("pictures");
        tokio::fs::create_dir_all(&pictures).await?;
        let profile = tempfile::tempdir()?;
        let mut chromium = Command::new(PROGRAM);
        chromium
            .args(QUIET)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={},{height}", look.width.max(600)))
            .arg(format!("--screenshot={}", pictures.join(format!("{name}.png")).display()))
            .args(look.dark.then_some("--force-dark-mode"))
            .arg(format!("http://{address}/"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, chromium.output()).await;
        serving.abort();
        let log = String::from_utf8_lossy(&output??.stderr).into_owned();
        let (reports, console): (Vec<&str>, Vec<&str>) =
            log.lines().filter(|line| line.contains(CONSOLE)).partition(|line| line.contains(REPORT));
        let report = reports.first().and_then(|line| line.split_once(REPORT));
        let report = report.and_then(|(_, rest)| rest.rsplit_once('}')).map(|(report, _)| format!("{report}}}"));
        let report = report.ok_or_else(|| anyhow::anyhow!("the browser did not report: {log}"))?;
        let report: Value = serde_json::from_str(&report)?;
        anyhow::ensure!(report["dark"] == look.dark, "{name} was not shown as asked: {report}");
        Ok(Seen {
            console: console.into_iter().map(str::to_owned).collect(),
            page_width: u32::try_from(report["width"].as_u64().unwrap_or_default())?,
            least_contrast: report["least"].as_f64().unwrap_or_default(),
            faintest: report["faintest"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// The page with the headers it has in AWS, but that it may be framed by the page around it.
async fn serve(listener: TcpListener, html: String, around: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (html, around) = (html.clone(), around.clone());
        tokio::spawn(async move { answer(stream, &html, &around).await });
    }
}

async fn answer(stream: TcpStream, html: &str, around: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut header = String::new();
    while stream.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let policy = PAGE_POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
    let (body, policy) = match first.split(' ').nth(1) {
        Some("/page") => (html, format!("Content-Security-Policy: {policy}\r\n")),
        _ => (around, String::new()),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{policy}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.width, if self.dark { "dark" } else { "light" })
    }
}
