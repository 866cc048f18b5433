//! A PostgreSQL of a test's own, with the programs of the shared one, that may go away and come back.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::nats::free_port;

/// A server on one port and one folder of data, whether it runs or not.
pub struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes and starts one. Its disk is as safe as the shared one's: what was committed survives its end.
    pub fn start() -> Self {
        let server = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            programs: programs(),
            port: free_port(),
        };
        if root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(server.folder.path())
                .status();
            assert!(owned.is_ok_and(|status| status.success()), "chown");
        }
        let data = server.data();
        let arguments = [
            "-U",
            "ponte",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
            &data,
        ];
        server.program("initdb", &arguments);
        server.run();
        server
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://ponte@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again and returns once it answers.
    pub fn run(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=100 -c fsync=off",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log").display().to_string();
        let arguments = [
            "-D",
            &self.data(),
            "-w",
            "-l",
            &log,
            "-o",
            &options,
            "start",
        ];
        self.program("pg_ctl", &arguments);
    }

    /// Ends it without a word to anybody.
    pub fn kill(&self) {
        let arguments = ["-D", &self.data(), "-w", "-m", "immediate", "stop"];
        self.program("pg_ctl", &arguments);
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn program(&self, name: &str, arguments: &[&str]) {
        let program = self.programs.join(name);
        // PostgreSQL refuses to run as root.
        let mut command = if root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let status = command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{name} fails");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.kill();
        }
    }
}

fn root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout == b"0\n"
}

/// Where the newest version's programs are, as Debian installs them; elsewhere they are on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .max();
    newest.unwrap_or_default()
}
