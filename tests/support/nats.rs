//! NATS for tests: the shared server, and private ones that may go away and come back.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// Where NATS is, for tests that leave it alone.
pub fn url() -> String {
    std::env::var("PONTE_TEST_NATS_URL").expect(
        "PONTE_TEST_NATS_URL is not set: run tests/run, which starts a NATS server, or name one",
    )
}

/// A server of the test's own, on the same port whenever it runs.
pub struct Nats {
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one.
    pub fn start() -> Self {
        let mut nats = Self {
            port: free_port(),
            child: None,
        };
        nats.run();
        nats
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again.
    pub fn run(&mut self) {
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed: tests/run does that");
        self.child = Some(child);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
