//! The real binary as a process: started, killed, started again; asked over HTTP.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A server over one database.
pub struct Server {
    child: Option<Child>,
    folder: tempfile::TempDir,
    database: String,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    /// Its address.
    pub base: String,
    client: reqwest::Client,
    /// The API key of [`Server::log_in`].
    pub key: Arc<Mutex<String>>,
}

impl Server {
    /// Starts over a database, with these flags.
    pub async fn start(database: Option<&str>, flags: &[&str]) -> Self {
        let mut server = Self::prepare(database, flags);
        server.restart().await;
        server
    }

    /// The same, not started yet.
    pub fn prepare(database: Option<&str>, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let database = database.map_or_else(
            || format!("sqlite://{}", folder.path().join("ponte.db").display()),
            str::to_owned,
        );
        Self {
            child: None,
            folder,
            database,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            environment: Vec::new(),
            base: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(20))
                .build()
                .expect("a client"),
            key: Arc::default(),
        }
    }

    /// Gives it a variable, from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The command line of this server, with another command.
    pub fn command(&self, command: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ponte"));
        process
            .args(command)
            .env_clear()
            .env("PONTE_DATABASE_URL", &self.database)
            .env(
                "PONTE_MASTER_KEY",
                "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
            )
            .env("PONTE_LISTEN", self.base.trim_start_matches("http://"))
            .env("PONTE_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
            .current_dir(self.folder.path());
        process
    }

    /// Starts it again and waits until it is ready.
    pub async fn restart(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let child = self
            .command(&[])
            .args(flags)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let began = Instant::now();
        loop {
            let ready = self
                .client
                .get(format!("{}/health/ready", self.base))
                .send()
                .await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            assert!(
                ended.is_none(),
                "the server ended: {ended:?}\n{}",
                self.log()
            );
            assert!(
                began.elapsed() < START,
                "the server is not ready\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Asks it to stop, and answers its exit status and how long it took.
    pub async fn terminate(&mut self) -> (std::process::ExitStatus, Duration) {
        let mut child = self.child.take().expect("it runs");
        let began = Instant::now();
        let sent = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .expect("kill runs");
        assert!(sent.success());
        loop {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                return (status, began.elapsed());
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it does not stop\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Most memory that it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        memory(self.pid(), "VmHWM:")
    }

    /// Reads how much memory it has, in bytes, until it ends.
    pub fn memory(&self) -> impl Fn() -> u64 + Send + 'static {
        let pid = self.pid();
        move || memory(pid, "VmRSS:")
    }

    /// Makes an application and takes an API key of it.
    pub async fn log_in(&self) -> Value {
        self.log_in_with(&[]).await
    }

    /// The same with flags for the application.
    pub async fn log_in_with(&self, flags: &[&str]) -> Value {
        let output = self
            .command(&["application", "create", "--name", "Tests", "--json"])
            .args(flags)
            .output()
            .expect("the command runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let created: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        self.take_key(&created).await;
        created
    }

    /// Takes an API key of an application.
    pub async fn take_key(&self, application: &Value) {
        let answer = self
            .post(
                None,
                "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }",
                json!({ "input": { "clientId": application["clientId"], "clientSecret": application["clientSecret"] } }),
            )
            .await
            .expect("an answer");
        let key = answer
            .pointer("/data/createApiKey/apiKey")
            .and_then(Value::as_str);
        key.unwrap_or_else(|| panic!("{answer}"))
            .clone_into(&mut self.key.lock().expect("a key"));
    }

    /// A request with a token; `None` while the server cannot be reached.
    pub async fn post(
        &self,
        token: Option<&str>,
        document: &str,
        variables: Value,
    ) -> Option<Value> {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let mut request = self
            .client
            .post(format!("{}/graphql", self.base))
            .header("content-type", "application/json")
            .body(body);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = request.send().await.ok()?.text().await.ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// The same with the API key.
    pub async fn query(&self, document: &str, variables: Value) -> Option<Value> {
        let key = self.key.lock().expect("a key").clone();
        self.post(Some(&key), document, variables).await
    }

    /// The `data` of a query that must succeed.
    pub async fn data(&self, document: &str, variables: Value) -> Value {
        let answer = self.query(document, variables).await.expect("an answer");
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].clone()
    }
}

/// A figure of a process's memory, in bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with(name));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("a number");
    kib * 1024
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
