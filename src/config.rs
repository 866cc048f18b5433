//! Settings: command-line flags with an environment variable each, read once, all problems reported together.

pub mod limits;

use std::{fmt::Display, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::db::Engine;

/// Settings as they are given. Everything is text here, so that one start reports every problem.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Address of the public API.
    #[arg(
        long,
        env = "PONTE_LISTEN",
        default_value = "127.0.0.1:4000",
        global = true
    )]
    pub listen: String,
    /// Address of /metrics and health on a port of their own. Unset: metrics are on the public port, and only over embedded SQLite.
    #[arg(long, env = "PONTE_ADMIN_LISTEN", global = true)]
    pub admin_listen: Option<String>,
    /// The database: sqlite://PATH or postgres://USER@HOST/NAME.
    #[arg(
        long,
        env = "PONTE_DATABASE_URL",
        default_value = "sqlite://data/ponte.db",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,
    /// Connections to the database.
    #[arg(
        long,
        env = "PONTE_DATABASE_CONNECTIONS",
        default_value = "16",
        global = true
    )]
    pub database_connections: String,
    /// The master key: 32 bytes in base64. Several, separated by commas, during a rotation; the first is current.
    #[arg(long, env = "PONTE_MASTER_KEY", hide_env_values = true, global = true)]
    pub master_key: Option<String>,
    /// File with the master key, one key a line, the first is current; readable by its owner alone. Over embedded SQLite it defaults to master.key beside the database and is created when missing.
    #[arg(long, env = "PONTE_MASTER_KEY_FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
    /// NATS, over PostgreSQL: nats://USER:PASSWORD@HOST:PORT or tls://…, several separated by commas. Carries wake-ups and events between nodes; the same for all of them. Without it PostgreSQL does.
    #[arg(long, env = "PONTE_NATS_URL", hide_env_values = true, global = true)]
    pub nats_url: Option<String>,
    /// File with NATS credentials (.creds), when they are not in the URL.
    #[arg(long, env = "PONTE_NATS_CREDENTIALS_FILE", global = true)]
    pub nats_credentials_file: Option<PathBuf>,
    /// Address under which clients reach Ponte, when it is not the listening one.
    #[arg(long, env = "PONTE_PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// What this node does: api, worker, or both.
    #[arg(long, env = "PONTE_ROLES", default_value = "api,worker", global = true)]
    pub roles: String,
    /// Apply outstanding migrations at start: true or false.
    #[arg(long, env = "PONTE_MIGRATE", default_value = "true", global = true)]
    pub migrate: String,
    /// Networks (CIDR, separated by commas) that webhooks may reach although they are private, also by plain http.
    #[arg(
        long,
        env = "PONTE_WEBHOOK_ALLOW_NETWORKS",
        default_value = "",
        global = true
    )]
    pub webhook_allow_networks: String,
    /// Origins (separated by commas) of browsers that may call the API; * for any.
    #[arg(long, env = "PONTE_CORS_ORIGINS", default_value = "", global = true)]
    pub cors_origins: String,
    /// Networks (CIDR, separated by commas) of proxies whose X-Forwarded-For is believed.
    #[arg(long, env = "PONTE_TRUSTED_PROXIES", default_value = "", global = true)]
    pub trusted_proxies: String,
    /// Answer introspection: true or false. Default: true over embedded SQLite, false over PostgreSQL.
    #[arg(long, env = "PONTE_INTROSPECTION", global = true)]
    pub introspection: Option<String>,
    /// Serve GraphiQL at /graphql to browsers: true or false. Default as for introspection.
    #[arg(long, env = "PONTE_GRAPHIQL", global = true)]
    pub graphiql: Option<String>,
    /// Milliseconds that a sandbox connector takes for a step; 0 = instant.
    #[arg(
        long,
        env = "PONTE_SANDBOX_STEP_MS",
        default_value = "250",
        global = true
    )]
    pub sandbox_step_ms: String,
    /// Seconds that a question to the user stays open.
    #[arg(long, env = "PONTE_MFA_SECONDS", default_value = "180", global = true)]
    pub mfa_seconds: String,
    /// Logins at its institution that an Item may need on one day (UTC), whoever asks for them; 0 = any number. Sandboxes and files do not count.
    #[arg(
        long,
        env = "PONTE_LOGIN_ATTEMPTS_PER_DAY",
        default_value = "50",
        global = true
    )]
    pub login_attempts_per_day: String,
    /// Executions that this node runs at once.
    #[arg(
        long,
        env = "PONTE_SYNC_CONCURRENCY",
        default_value = "16",
        global = true
    )]
    pub sync_concurrency: String,
    /// Executions at once and requests per minute that a connector is asked to bear, for all nodes together:
    /// CONNECTOR=AT_ONCE or CONNECTOR=AT_ONCE/PER_MINUTE, separated by commas; * is every other, 0 is no limit.
    #[arg(
        long,
        env = "PONTE_CONNECTOR_LIMITS",
        default_value = "*=200",
        global = true
    )]
    pub connector_limits: String,
    /// Seconds after which another node takes over from a worker that shows no sign of life.
    #[arg(long, env = "PONTE_LEASE_SECONDS", default_value = "30", global = true)]
    pub lease_seconds: String,
    /// Deliveries that this node sends at once.
    #[arg(
        long,
        env = "PONTE_DELIVERY_CONCURRENCY",
        default_value = "128",
        global = true
    )]
    pub delivery_concurrency: String,
    /// Most webhooks of one application.
    #[arg(
        long,
        env = "PONTE_WEBHOOKS_PER_APPLICATION",
        default_value = "100",
        global = true
    )]
    pub webhooks_per_application: String,
    /// Most WebSockets that an application has open on one node.
    #[arg(
        long,
        env = "PONTE_SOCKETS_PER_APPLICATION",
        default_value = "10000",
        global = true
    )]
    pub sockets_per_application: String,
    /// Most subscriptions, over all transports, that an application has open on one node.
    #[arg(
        long,
        env = "PONTE_SUBSCRIPTIONS_PER_APPLICATION",
        default_value = "100000",
        global = true
    )]
    pub subscriptions_per_application: String,
    /// Days that events are kept; cursors older than that no longer work.
    #[arg(
        long,
        env = "PONTE_EVENT_RETENTION_DAYS",
        default_value = "30",
        global = true
    )]
    pub event_retention_days: String,
    /// Days that finished executions are kept.
    #[arg(
        long,
        env = "PONTE_EXECUTION_RETENTION_DAYS",
        default_value = "90",
        global = true
    )]
    pub execution_retention_days: String,
    /// Days after which Items of sandbox connectors that nobody touches are deleted; 0 = never.
    #[arg(
        long,
        env = "PONTE_SANDBOX_ITEM_DAYS",
        default_value = "30",
        global = true
    )]
    pub sandbox_item_days: String,
    /// Days before the end of a consent on which its client is told, separated by commas.
    #[arg(
        long,
        env = "PONTE_CONSENT_NOTICE_DAYS",
        default_value = "30,7,1",
        global = true
    )]
    pub consent_notice_days: String,
    /// Days that entries of the audit log are kept.
    #[arg(
        long,
        env = "PONTE_AUDIT_RETENTION_DAYS",
        default_value = "730",
        global = true
    )]
    pub audit_retention_days: String,
    /// Failed attempts at a client secret that one address may make in a minute.
    #[arg(
        long,
        env = "PONTE_SECRET_ATTEMPTS_PER_MINUTE",
        default_value = "30",
        global = true
    )]
    pub secret_attempts_per_minute: String,
    /// Form of the log on stderr: pretty or json.
    #[arg(
        long,
        env = "PONTE_LOG_FORMAT",
        default_value = "pretty",
        global = true
    )]
    pub log_format: String,
    /// What is logged, such as info or ponte=debug,warn.
    #[arg(long, env = "PONTE_LOG", default_value = "info", global = true)]
    pub log: String,
}

/// Settings as they are used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the public API.
    pub listen: SocketAddr,
    /// Address of metrics and health, if they have one of their own.
    pub admin_listen: Option<SocketAddr>,
    /// The database.
    pub database_url: SecretString,
    /// Its engine.
    pub engine: Engine,
    /// Connections to it.
    pub database_connections: u32,
    /// Where the master keys are.
    pub master_key: MasterKeySource,
    /// NATS, if nodes talk over it.
    pub nats_url: Option<SecretString>,
    /// Where credentials for it are, if not in its URL.
    pub nats_credentials_file: Option<PathBuf>,
    /// Address under which clients reach Ponte.
    pub public_url: Option<Url>,
    /// Whether this node serves the API.
    pub api: bool,
    /// Whether this node runs workers.
    pub worker: bool,
    /// Whether to migrate at start.
    pub migrate: bool,
    /// Private networks that webhooks may reach.
    pub webhook_allow_networks: Vec<IpNet>,
    /// Origins that browsers may call from; `*` for any.
    pub cors_origins: Vec<String>,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether introspection is answered.
    pub introspection: bool,
    /// Whether GraphiQL is served.
    pub graphiql: bool,
    /// Pace of the sandbox.
    pub sandbox_step: Duration,
    /// How long a question stays open.
    pub mfa_timeout: Duration,
    /// Logins of an Item on one day; any number when `None`.
    pub login_attempts_per_day: Option<i32>,
    /// Executions at once.
    pub sync_concurrency: usize,
    /// What connectors bear.
    pub connector_limits: limits::Limits,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Deliveries at once.
    pub delivery_concurrency: usize,
    /// Most webhooks of one application.
    pub webhooks_per_application: u64,
    /// Most WebSockets of an application on this node.
    pub sockets_per_application: usize,
    /// Most subscriptions of an application on this node.
    pub subscriptions_per_application: usize,
    /// How long events are kept.
    pub event_retention: Duration,
    /// How long finished executions are kept.
    pub execution_retention: Duration,
    /// How long Items of sandbox connectors are kept that nobody touches; for ever when `None`.
    pub sandbox_item_retention: Option<Duration>,
    /// Days before the end of a consent on which its client is told.
    pub consent_notice_days: Vec<u32>,
    /// How long entries of the audit log are kept.
    pub audit_retention: Duration,
    /// Failed attempts at a secret by one address in a minute.
    pub secret_attempts_per_minute: u32,
    /// Whether the log is JSON.
    pub log_json: bool,
    /// What is logged.
    pub log: String,
}

/// Where the master keys come from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// Given as text.
    Inline(SecretString),
    /// In a file; created there when missing if `create`.
    File {
        /// Where.
        path: PathBuf,
        /// Whether a missing file is created.
        create: bool,
    },
    /// Nowhere: an error once a key is needed.
    Missing,
}

impl Config {
    /// Where clients reach Ponte.
    pub fn base_url(&self) -> Url {
        self.public_url.clone().unwrap_or_else(|| {
            let mut own = self.listen;
            if own.ip().is_unspecified() {
                own.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            Url::parse(&format!("http://{own}")).expect("a socket's address is a host and a port")
        })
    }
}

impl Settings {
    /// Checks everything and reports all problems at once, each naming its flag and variable.
    #[expect(
        clippy::too_many_lines,
        reason = "one setting after the other reads best"
    )]
    pub fn check(self) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        let p = &mut problems;
        let engine = match self.database_url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Engine::Postgres,
            Some("sqlite") => Engine::Sqlite,
            _ => {
                p.push(
                    "--database-url (PONTE_DATABASE_URL): begin with sqlite:// or postgres://"
                        .to_owned(),
                );
                Engine::Sqlite
            }
        };
        let embedded = engine == Engine::Sqlite;
        let (api, worker) = roles(&self.roles, p);
        let master_key = match (self.master_key, self.master_key_file) {
            (Some(_), Some(_)) => {
                p.push(
                    "--master-key and --master-key-file exclude each other; give one".to_owned(),
                );
                MasterKeySource::Missing
            }
            (Some(key), None) => MasterKeySource::Inline(key.into()),
            (None, Some(path)) => MasterKeySource::File {
                path,
                create: false,
            },
            (None, None) if embedded => {
                let database = PathBuf::from(sqlite_path(&self.database_url));
                MasterKeySource::File {
                    path: database.with_file_name("master.key"),
                    create: true,
                }
            }
            (None, None) => MasterKeySource::Missing,
        };
        let log_json = match self.log_format.as_str() {
            "json" => true,
            "pretty" => false,
            _ => {
                p.push("--log-format (PONTE_LOG_FORMAT): pretty or json".to_owned());
                false
            }
        };
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            p.push(format!("--log (PONTE_LOG): {error}"));
        }
        let config = Config {
            listen: parsed("--listen (PONTE_LISTEN)", &self.listen, p)
                .unwrap_or(([127, 0, 0, 1], 4000).into()),
            admin_listen: self
                .admin_listen
                .and_then(|text| parsed("--admin-listen (PONTE_ADMIN_LISTEN)", &text, p)),
            engine,
            database_url: self.database_url.into(),
            database_connections: number(
                "--database-connections (PONTE_DATABASE_CONNECTIONS)",
                &self.database_connections,
                2,
                1_000,
                p,
            ),
            master_key,
            nats_url: nats(
                self.nats_url,
                self.nats_credentials_file.is_some(),
                embedded,
                p,
            ),
            nats_credentials_file: self.nats_credentials_file,
            public_url: self
                .public_url
                .and_then(|text| parsed("--public-url (PONTE_PUBLIC_URL)", &text, p)),
            api,
            worker,
            migrate: switch("--migrate (PONTE_MIGRATE)", Some(&self.migrate), true, p),
            webhook_allow_networks: list(
                "--webhook-allow-networks (PONTE_WEBHOOK_ALLOW_NETWORKS)",
                &self.webhook_allow_networks,
                p,
            ),
            cors_origins: origins(&self.cors_origins, p),
            trusted_proxies: list(
                "--trusted-proxies (PONTE_TRUSTED_PROXIES)",
                &self.trusted_proxies,
                p,
            ),
            introspection: switch(
                "--introspection (PONTE_INTROSPECTION)",
                self.introspection.as_deref(),
                embedded,
                p,
            ),
            graphiql: switch(
                "--graphiql (PONTE_GRAPHIQL)",
                self.graphiql.as_deref(),
                embedded,
                p,
            ),
            sandbox_step: Duration::from_millis(number(
                "--sandbox-step-ms (PONTE_SANDBOX_STEP_MS)",
                &self.sandbox_step_ms,
                0,
                60_000,
                p,
            )),
            mfa_timeout: Duration::from_secs(number(
                "--mfa-seconds (PONTE_MFA_SECONDS)",
                &self.mfa_seconds,
                1,
                3_600,
                p,
            )),
            login_attempts_per_day: Some(number(
                "--login-attempts-per-day (PONTE_LOGIN_ATTEMPTS_PER_DAY)",
                &self.login_attempts_per_day,
                0,
                10_000,
                p,
            ))
            .filter(|most| *most > 0),
            sync_concurrency: number(
                "--sync-concurrency (PONTE_SYNC_CONCURRENCY)",
                &self.sync_concurrency,
                1,
                1_000,
                p,
            ),
            connector_limits: parsed(
                "--connector-limits (PONTE_CONNECTOR_LIMITS)",
                &self.connector_limits,
                p,
            )
            .unwrap_or_default(),
            lease: Duration::from_secs(number(
                "--lease-seconds (PONTE_LEASE_SECONDS)",
                &self.lease_seconds,
                2,
                3_600,
                p,
            )),
            delivery_concurrency: number(
                "--delivery-concurrency (PONTE_DELIVERY_CONCURRENCY)",
                &self.delivery_concurrency,
                1,
                1_000,
                p,
            ),
            webhooks_per_application: number(
                "--webhooks-per-application (PONTE_WEBHOOKS_PER_APPLICATION)",
                &self.webhooks_per_application,
                1,
                100_000,
                p,
            ),
            sockets_per_application: number(
                "--sockets-per-application (PONTE_SOCKETS_PER_APPLICATION)",
                &self.sockets_per_application,
                1,
                1_000_000,
                p,
            ),
            subscriptions_per_application: number(
                "--subscriptions-per-application (PONTE_SUBSCRIPTIONS_PER_APPLICATION)",
                &self.subscriptions_per_application,
                1,
                10_000_000,
                p,
            ),
            event_retention: days(
                "--event-retention-days (PONTE_EVENT_RETENTION_DAYS)",
                &self.event_retention_days,
                1,
                p,
            ),
            execution_retention: days(
                "--execution-retention-days (PONTE_EXECUTION_RETENTION_DAYS)",
                &self.execution_retention_days,
                1,
                p,
            ),
            sandbox_item_retention: Some(days(
                "--sandbox-item-days (PONTE_SANDBOX_ITEM_DAYS)",
                &self.sandbox_item_days,
                0,
                p,
            ))
            .filter(|lasts| !lasts.is_zero()),
            consent_notice_days: list(
                "--consent-notice-days (PONTE_CONSENT_NOTICE_DAYS)",
                &self.consent_notice_days,
                p,
            ),
            audit_retention: Duration::from_hours(
                24 * number::<u64>(
                    "--audit-retention-days (PONTE_AUDIT_RETENTION_DAYS)",
                    &self.audit_retention_days,
                    1,
                    36_500,
                    p,
                ),
            ),
            secret_attempts_per_minute: number(
                "--secret-attempts-per-minute (PONTE_SECRET_ATTEMPTS_PER_MINUTE)",
                &self.secret_attempts_per_minute,
                1,
                1_000_000,
                p,
            ),
            log_json,
            log: self.log,
        };
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }
}

/// The file behind a `sqlite:` URL.
pub fn sqlite_path(url: &str) -> &str {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// Where NATS is. Says nothing of what it was given: there may be a password in it.
fn nats(
    url: Option<String>,
    credentials: bool,
    embedded: bool,
    problems: &mut Vec<String>,
) -> Option<SecretString> {
    const NAME: &str = "--nats-url (PONTE_NATS_URL)";
    let Some(url) = url.filter(|url| !url.trim().is_empty()) else {
        if credentials {
            problems.push(
                "--nats-credentials-file (PONTE_NATS_CREDENTIALS_FILE): give --nats-url too"
                    .to_owned(),
            );
        }
        return None;
    };
    let fits = |url: &str| {
        Url::parse(url.trim()).is_ok_and(|url| {
            matches!(url.scheme(), "nats" | "tls") && url.has_host() && url.query().is_none()
        })
    };
    if !url.split(',').all(fits) {
        problems.push(format!(
            "{NAME}: begin with nats:// or tls://, then the host"
        ));
    }
    if embedded {
        problems.push(format!(
            "{NAME}: only over PostgreSQL; over embedded SQLite there is one node"
        ));
    }
    Some(url.into())
}

fn parsed<T: FromStr<Err: Display>>(
    name: &str,
    text: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    text.trim()
        .parse()
        .map_err(|error| problems.push(format!("{name}: {error}")))
        .ok()
}

fn number<T>(name: &str, text: &str, least: T, most: T, problems: &mut Vec<String>) -> T
where
    T: FromStr + PartialOrd + Display + Copy,
{
    match text.trim().parse() {
        Ok(value) if value >= least && value <= most => value,
        _ => {
            problems.push(format!("{name}: a whole number from {least} to {most}"));
            least
        }
    }
}

fn days(name: &str, text: &str, least: u64, problems: &mut Vec<String>) -> Duration {
    Duration::from_hours(24 * number::<u64>(name, text, least, 3_650, problems))
}

fn switch(name: &str, text: Option<&str>, default: bool, problems: &mut Vec<String>) -> bool {
    match text.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None => default,
        Some("true" | "1" | "on" | "yes") => true,
        Some("false" | "0" | "off" | "no") => false,
        Some(_) => {
            problems.push(format!("{name}: true or false"));
            default
        }
    }
}

fn list<T: FromStr<Err: Display>>(name: &str, text: &str, problems: &mut Vec<String>) -> Vec<T> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .filter_map(|part| parsed(name, part, problems))
        .collect()
}

fn origins(text: &str, problems: &mut Vec<String>) -> Vec<String> {
    let mut origins = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match Url::parse(part) {
            _ if part == "*" => origins.push(part.to_owned()),
            Ok(url) if url.has_host() && url.path() == "/" => origins.push(url.origin().ascii_serialization()),
            _ => problems.push(format!("--cors-origins (PONTE_CORS_ORIGINS): {part} is not an origin such as https://app.example.com")),
        }
    }
    origins
}

fn roles(text: &str, problems: &mut Vec<String>) -> (bool, bool) {
    let (mut api, mut worker) = (false, false);
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part {
            "api" => api = true,
            "worker" => worker = true,
            _ => problems.push(format!(
                "--roles (PONTE_ROLES): {part} is neither api nor worker"
            )),
        }
    }
    if !api && !worker {
        problems.push("--roles (PONTE_ROLES): api, worker, or api,worker".to_owned());
    }
    (api, worker)
}
