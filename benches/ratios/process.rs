//! The process by itself.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Start-up time and idle memory of the binary over a new SQLite database.
pub fn start() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ponte"))
        .current_dir(folder.path())
        .env("PONTE_LISTEN", format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let ready = loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break began.elapsed();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    std::thread::sleep(Duration::from_secs(3));
    println!(
        "first start over a new SQLite database: {:.0} ms until it listens; idle memory {} kB",
        ready.as_secs_f64() * 1e3,
        resident(child.id())
    );
    let _ = child.kill();
    let _ = child.wait();
}

/// Resident memory of a process, in KiB.
pub fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
