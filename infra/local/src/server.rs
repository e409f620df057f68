//! A real PostgreSQL server for each test and for the demo. It ends when its owner ends.

mod standby;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::data_template::DataTemplate;
use crate::debian;

/// The first role of every server, and its password. The server listens only on 127.0.0.1 and holds no real data.
const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "lifeboat-local";
/// The arguments of `initdb`, except the password's file and the data directory.
const INITDB: [&str; 6] = [
    "--no-sync",
    "--no-instructions",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--auth=scram-sha-256",
    "--username=postgres",
];

/// The name of a server's directory has this prefix and the owner's process id, so that directories of killed owners are found.
const DIRECTORY_PREFIX: &str = "lifeboat-postgres-";

/// A server of this size starts in well under a second. A busy machine may need many seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Another process may take the free port between finding and using it.
const START_ATTEMPTS: u32 = 5;

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Shown in the directory's name and in `cluster_name`.
    pub name: String,
    /// Settings as in `postgresql.conf`, over the ones for tests.
    pub settings: Vec<(String, String)>,
    /// Whether the server uses TLS, with a certificate for `127.0.0.1` from its own CA.
    pub tls: bool,
    /// Whether it is a server for drills. It has another system identifier than all servers that are none: a drill refuses the source's.
    pub is_scratch: bool,
    /// The folder of another version's server and client programs, for compatibility tests. When absent, the machine's are used.
    pub bin_dir: Option<PathBuf>,
}

impl PostgresOptions {
    /// A server of this name with default settings.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.push((setting.to_owned(), value.to_owned()));
        self
    }

    /// A server for drills.
    #[must_use]
    pub fn for_drills(mut self) -> Self {
        self.is_scratch = true;
        self
    }

    /// Turns TLS on.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

impl From<&str> for PostgresOptions {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

/// A running server. It stops when this value is dropped, or when this process ends or is killed.
#[derive(Debug)]
pub struct PostgresServer {
    bin_dir: PathBuf,
    directory: TempDir,
    account: Option<Account>,
    options: PostgresOptions,
    port: u16,
    postmaster: Option<Child>,
}

/// The account that runs the server when this process is root, because PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl PostgresServer {
    /// Starts a server with a fresh data directory on a free port of 127.0.0.1. Blocks until it answers.
    pub fn start(options: impl Into<PostgresOptions>) -> Result<Self> {
        let options = options.into();
        let bin_dir = options.bin_dir.clone().map_or_else(find_bin_dir, Ok)?;
        sweep_abandoned_directories();
        let prefix = format!("{DIRECTORY_PREFIX}{}-{}-", std::process::id(), options.name);
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().context("no temporary directory")?;
        let account = if is_root()? { Some(postgres_account()?) } else { None };
        if let Some(Account { uid, gid }) = account {
            chown(directory.path(), Some(uid), Some(gid)).context("cannot give the directory away")?;
        }
        let mut server = Self { bin_dir, directory, account, options, port: 0, postmaster: None };
        server.initialize()?;
        for attempt in 1.. {
            server.port = free_port()?;
            match server.launch() {
                Ok(()) => break,
                Err(error) if attempt >= START_ATTEMPTS || !server.log().contains("Address already in use") => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of `psql`, `pg_dump` and the other programs of the server's version.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The superuser's URL of a database. Its `sslmode` is `disable`, or `verify-full` with the CA's file for a server with TLS.
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, PASSWORD, database)
    }

    /// The URL for another role. Names and password must need no percent-encoding.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        let tls = match self.ca_file() {
            Some(file) => format!("sslmode=verify-full&sslrootcert={}", file.display()),
            None => "sslmode=disable".to_owned(),
        };
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}?{tls}", self.port)
    }

    /// The superuser's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The PEM file of the CA that issued the server's certificate.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.options.tls.then(|| self.directory.path().join("ca.pem"))
    }

    /// Runs SQL with `psql` as the superuser and returns what it printed: rows without decoration, `|` between columns.
    /// Stops at the first error.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.bin_dir.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"]);
        command.args(["--host=127.0.0.1", "--username", SUPERUSER, "--dbname", database]);
        command.arg(format!("--port={}", self.port)).env("PGPASSWORD", PASSWORD);
        if let Some(ca_file) = self.ca_file() {
            command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", ca_file);
        }
        let script = self.directory.path().join(format!("script-{}.sql", unique()));
        std::fs::write(&script, sql)?;
        let output = command.stdin(File::open(&script)?).output().context("psql did not start")?;
        std::fs::remove_file(&script)?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// The server's log since its first start.
    pub fn log(&self) -> String {
        std::fs::read(self.log_file()).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Kills the server at once, like a crash of its machine. [`restart`](Self::restart) starts it again.
    pub fn crash(&mut self) -> Result<()> {
        self.signal("QUIT")
    }

    /// Ends every session and shuts the server down cleanly.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("INT")
    }

    /// Stops the server if it runs, and starts it again on the same port with the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    fn initialize(&self) -> Result<()> {
        let program = self.bin_dir.join("initdb");
        let uid = self.account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
        // A copy of a data directory has the system identifier of its template.
        let family = if self.options.is_scratch { "scratch" } else { "" };
        let template = DataTemplate::of(&program, &INITDB, uid, family)?;
        template.copy_to(&self.data_dir(), || self.initdb(&program))?;
        if self.options.tls {
            self.issue_certificate()?;
        }
        // Statistics of the catalogs decide in which order pg_dump numbers objects. With autovacuum, whether two archives of
        // one schema have the same bytes would be a matter of time.
        let mut configuration = String::from(
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = '64MB'\nmax_wal_size = '256MB'\n\
             min_wal_size = '32MB'\nmax_connections = 100\nlisten_addresses = '127.0.0.1'\nautovacuum = off\n",
        );
        let directory = quote(&self.directory.path().display().to_string());
        configuration += &format!("unix_socket_directories = {directory}\n");
        configuration += &format!("cluster_name = {}\n", quote(&self.options.name));
        if self.options.tls {
            configuration += "ssl = on\n";
        }
        for (name, value) in &self.options.settings {
            configuration += &format!("{name} = {}\n", quote(value));
        }
        // `postgresql.conf` includes this file. The last value of a setting wins.
        let file = self.data_dir().join("postgresql.auto.conf");
        std::fs::write(&file, configuration).context("cannot write the configuration")
    }

    fn initdb(&self, program: &Path) -> Result<()> {
        let password_file = self.directory.path().join("password");
        std::fs::write(&password_file, PASSWORD)?;
        let mut initdb = self.as_account(program, None);
        initdb.args(INITDB).arg("--pwfile").arg(&password_file).arg("--pgdata").arg(self.data_dir());
        let output = initdb.output().context("initdb did not start")?;
        if !output.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// A CA that is valid for one day, and its certificate for 127.0.0.1. `localhost` is left out so that tests can use a wrong name.
    fn issue_certificate(&self) -> Result<()> {
        let directory = self.directory.path();
        let data = self.data_dir();
        let openssl = |arguments: &[&str]| -> Result<()> {
            let output = Command::new("openssl")
                .args(arguments)
                .current_dir(directory)
                .output()
                .context("`openssl` is needed for a server with TLS (Debian: `openssl`)")?;
            if !output.status.success() {
                bail!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(())
        };
        std::fs::write(directory.join("san"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(
            &[
                &["req", "-x509"],
                &key[..],
                &["-keyout", "ca.key", "-out", "ca.pem", "-days", "1"],
                &["-subj", "/CN=lifeboat local CA", "-addext", "basicConstraints=critical,CA:TRUE"],
            ]
            .concat(),
        )?;
        openssl(
            &[&["req"], &key[..], &["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=lifeboat local"]]
                .concat(),
        )?;
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "1",
            "-extfile",
            "san",
            "-out",
            "server.crt",
        ])?;
        for file in ["server.key", "server.crt"] {
            let placed = data.join(file);
            std::fs::copy(directory.join(file), &placed)?;
            if let Some(Account { uid, gid }) = self.account {
                chown(&placed, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        // QUIT is PostgreSQL's immediate shutdown. The data is not needed after the owner has ended.
        let mut command = self.as_account(&self.bin_dir.join("postgres"), Some("QUIT"));
        command.arg("-D").arg(self.data_dir()).arg("-p").arg(self.port.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.postmaster = Some(spawn_for_life(command).context("postgres did not start")?);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(postmaster) = &mut self.postmaster
                && let Some(status) = postmaster.try_wait()?
            {
                self.postmaster = None;
                bail!("postgres ended with {status}: {}", last_lines(&self.log()));
            }
            // The server writes this line of its PID file when it accepts connections.
            let state = std::fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("postgres is not ready after {START_TIMEOUT:?}: {}", last_lines(&self.log()))
    }

    fn signal(&mut self, signal: &str) -> Result<()> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        let kill =
            |signal: &str, pid: u32| Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
        kill(signal, postmaster.id())?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if postmaster.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        postmaster.kill()?;
        postmaster.wait()?;
        Ok(())
    }

    /// A command under the server's account. It gets a signal when the process that started it dies.
    pub fn as_account(&self, program: &Path, death_signal: Option<&str>) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(Account { uid, gid }) = self.account {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
        }
        if let Some(signal) = death_signal {
            command.arg("--pdeathsig").arg(signal);
        }
        command.arg(program).env("LC_ALL", "C.UTF-8").current_dir(self.directory.path());
        command
    }

    /// The folder of the server's sockets. It belongs to the server's account, and is removed with this value.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A failure cannot be reported here. The directory is removed when its own value is dropped.
        let _ = self.crash();
    }
}

/// Starts a child from a thread that lives as long as the process: the kernel sends a child's death signal when the *thread*
/// that started it ends, and a test's thread ends long before its servers may.
pub(crate) fn spawn_for_life(command: Command) -> Result<Child> {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = channel();
    nursery.clone().send((command, answer)).ok().context("the thread that starts servers has ended")?;
    Ok(child.recv().context("the thread that starts servers has ended")??)
}

/// The directory of the binaries: from `pg_config`, from Debian's paths, or after installing them if permitted.
fn find_bin_dir() -> Result<PathBuf> {
    if let Some(found) = look_for_bin_dir() {
        return Ok(found);
    }
    debian::install("postgresql")?;
    look_for_bin_dir().context("the Debian package `postgresql` brought no server")
}

fn look_for_bin_dir() -> Option<PathBuf> {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())));
    configured
        .into_iter()
        .filter(|dir| is_complete(dir))
        .chain(debian_bin_dirs().into_iter().map(|(_, dir)| dir))
        .next()
}

/// The versions that Debian's packages have installed, newest first. When there is none, one is installed if permitted.
pub(crate) fn find_bin_dirs() -> Result<Vec<(u32, PathBuf)>> {
    find_bin_dir()?;
    Ok(debian_bin_dirs())
}

fn debian_bin_dirs() -> Vec<(u32, PathBuf)> {
    let mut installed: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, dir)| is_complete(dir))
        .collect();
    installed.sort_by(|a, b| b.cmp(a));
    installed
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres", "psql", "pg_dump"].iter().all(|program| dir.join(program).exists())
}

/// Removes the directories of killed owners.
fn sweep_abandoned_directories() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(DIRECTORY_PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let is_alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
        if owner.is_some_and(|pid| !is_alive(pid)) {
            // Another process may be removing it at the same time.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_root() -> Result<bool> {
    Ok(id(&["-u"])? == 0)
}

fn postgres_account() -> Result<Account> {
    // Debian's package creates the account. Other systems use `nobody`.
    let account = if id(&["-u", "postgres"]).is_ok() { "postgres" } else { "nobody" };
    Ok(Account { uid: id(&["-u", account])?, gid: id(&["-g", account])? })
}

fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output().context("`id` did not start")?;
    String::from_utf8(output.stdout)?
        .trim()
        .parse()
        .with_context(|| format!("`id {}` gave no number", arguments.join(" ")))
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A value in `postgresql.conf`.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}
