//! The command line: settings, commands, wiring.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use entity::kind::{AuditAction, Environment};
use ponte::{
    app::{self, App},
    audit,
    auth::application::{Created, Interval, Operator, note_for_all},
    backup, bus,
    clock::{Clock, Rng},
    config::{Config, MasterKeySource, Settings, sqlite_path},
    connector::Registry,
    db::{self, Db, Engine},
    doctor,
    error::{Error, Result},
    graphql, http,
    item::{self, retirement},
    listen, metrics, ready,
    vault::{self, Vault},
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stack of each worker thread: large merged objects deepen the stack of debug builds.
const STACK_BYTES: usize = 4 * 1024 * 1024;
/// How long a node may take to stop.
const DRAIN: Duration = Duration::from_secs(9);

/// A self-hosted open-finance gateway: bank connections in, GraphQL, subscriptions and signed webhooks out.
///
/// Without a command, serves. Nothing needs to be configured to try it: state goes to ./data, the API listens on
/// 127.0.0.1:4000, and the first start prints the credentials of a sandbox application. Every setting is a flag with an
/// environment variable.
#[derive(Parser)]
#[command(name = "ponte", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and run the workers (default).
    Serve,
    /// Bring the database to the schema that this binary knows.
    Migrate,
    /// Print the GraphQL schema. Touches no file, key or database.
    Schema,
    /// Post an application's events to a server on this machine, signed as webhooks are.
    ///
    /// A client of the public API: touches no file, key or database, and prints one line for each event.
    Listen(Box<listen::Arguments>),
    /// Make and steer applications, the owners of everything else.
    #[command(subcommand)]
    Application(ApplicationCommand),
    /// Steer single Items.
    #[command(subcommand)]
    Item(ItemCommand),
    /// See which connectors are used, and end one.
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Steer the master key.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Copy the embedded database into a new file, beside a running server.
    ///
    /// The master key is not in it: keep that apart, and both somewhere else. PostgreSQL is backed up by its own means.
    Backup {
        /// The file, which must not exist yet.
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Check the deployment with these settings and say what to change: one line for each thing that was looked at.
    ///
    /// Works beside running servers and writes nothing. Exits with 1 when something has failed.
    Doctor {
        /// Declare that the database was put back from a backup, with all nodes stopped: gives its log a new id, so that
        /// clients' cursors of before are refused, hands over what was under way, and ends every token. Every call does so again.
        #[arg(long)]
        restored: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Ask the node that runs on this machine with these settings whether it can serve; exits with 1 when not.
    Ready,
}

#[derive(Subcommand)]
enum ApplicationCommand {
    /// Make an application and print its secrets, once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// What it is for.
        #[arg(long, value_enum, default_value = "sandbox")]
        environment: EnvironmentArgument,
        /// Left out: every 24 hours for production, off otherwise.
        #[command(flatten)]
        auto_sync: AutoSyncArguments,
        #[command(flatten)]
        output: Output,
    },
    /// Change how often an application's Items are updated automatically; their schedule follows within seconds.
    Update {
        /// The application's id.
        id: Uuid,
        #[command(flatten)]
        auto_sync: AutoSyncArguments,
        #[command(flatten)]
        output: Output,
    },
    /// List all applications.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Give an application a new client secret; the old one ends at once, issued tokens go on.
    RotateSecret {
        /// The application's id.
        id: Uuid,
        /// End every issued token, socket and stream too.
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Give an application a new webhook secret and key, which sign deliveries to the `webhookUrl`s of its Items; those of
    /// before sign beside them for a day.
    RotateWebhookSecret {
        /// The application's id.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Give an application a new key for encrypted parameters; what was encrypted with the one of before opens for a day.
    RotateParametersKey {
        /// The application's id.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
    /// Stop serving an application: its tokens, sockets and streams end within seconds. Nothing is deleted.
    Disable {
        /// The application's id.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
}

/// How often Items are updated automatically.
#[derive(Args)]
#[group(multiple = false)]
#[expect(clippy::struct_field_names, reason = "their names are the flags'")]
struct AutoSyncArguments {
    /// Hours between automatic runs of its Items; for production and sandbox applications.
    #[arg(long, value_parser = ["8", "12", "24"])]
    auto_sync_hours: Option<String>,
    /// Minutes between automatic runs of its Items; for sandbox applications, to try things out.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1440))]
    auto_sync_minutes: Option<i32>,
    /// No automatic runs.
    #[arg(long)]
    auto_sync_off: bool,
}

impl AutoSyncArguments {
    /// The interval that was asked for; none when automatic runs are to be off.
    fn interval(&self) -> Option<Interval> {
        let hours = self.auto_sync_hours.as_deref();
        let hours = hours.and_then(|hours| hours.parse().ok());
        hours
            .map(Interval::Hours)
            .or(self.auto_sync_minutes.map(Interval::Minutes))
    }

    /// The same, a new application's own default when nothing was asked for.
    fn or_default(&self, environment: Environment) -> Option<Interval> {
        let daily = environment == Environment::Production && !self.auto_sync_off;
        self.interval().or(daily.then_some(Interval::Hours(24)))
    }
}

#[derive(Subcommand)]
enum ItemCommand {
    /// Forget an Item's failed logins, so that its client may update it at once.
    Unlock {
        /// The Item's id.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum ConnectorCommand {
    /// List all connectors with how many Items they have, also those of Items that this version does not have.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Give notice that a connector ends: new Items are refused, applications are told, and in 30 days all its Items are deleted.
    Retire {
        /// The connector's id.
        id: i32,
        #[command(flatten)]
        output: Output,
    },
    /// Take the notice back before its day, or open the connector again once its Items are gone.
    Keep {
        /// The connector's id.
        id: i32,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Wrap every key with a new master key, beside running servers; may be interrupted and run again.
    ///
    /// With a key file: a new key is made, written first, and the old one is removed once nothing is left under it.
    /// With PONTE_MASTER_KEY: restart every node with "new,old" first.
    Rotate {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args)]
struct Output {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum EnvironmentArgument {
    Sandbox,
    Development,
    Production,
}

impl From<EnvironmentArgument> for Environment {
    fn from(argument: EnvironmentArgument) -> Self {
        match argument {
            EnvironmentArgument::Sandbox => Self::Sandbox,
            EnvironmentArgument::Development => Self::Development,
            EnvironmentArgument::Production => Self::Production,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Some(Command::Schema)) {
        println!("{}", graphql::sdl().trim_end());
        return ExitCode::SUCCESS;
    }
    if let Some(Command::Listen(arguments)) = cli.command {
        return exit(runtime().map(|runtime| runtime.block_on(listen::run(*arguments))));
    }
    let config = match cli.settings.check() {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("ponte cannot start with these settings:");
            for problem in problems {
                eprintln!("  {problem}");
            }
            return ExitCode::from(2);
        }
    };
    log_to_stderr(&config);
    let outcome = runtime()
        .and_then(|runtime| runtime.block_on(run(cli.command.unwrap_or(Command::Serve), config)));
    exit(outcome)
}

fn exit(outcome: Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ponte: {}", error.in_full());
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(Error::internal)
}

fn log_to_stderr(config: &Config) {
    use tracing::Level;
    use tracing_subscriber::{
        EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
    };

    std::panic::set_hook(Box::new(log_panic));

    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Below INFO, libraries print what they carry: messages of sockets, frames, values. Only our own code, which looks at
    // none of that, may speak there, whatever the settings say.
    let discreet = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO
            || metadata.target().split("::").next() == Some(env!("CARGO_PKG_NAME"))
    });
    let registry = tracing_subscriber::registry().with(filter).with(discreet);
    if config.log_json {
        registry.with(layer.json()).init();
    } else {
        registry.with(layer).init();
    }
}

/// Says where a panic was. Its words only if they stand in the code: others may be made of what was worked on.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let words = info.payload().downcast_ref::<&'static str>();
    let place = info.location().map(ToString::to_string);
    tracing::error!(place, words, "panicked");
}

async fn run(command: Command, config: Config) -> Result<ExitCode> {
    match command {
        Command::Serve => serve(config).await?,
        Command::Schema | Command::Listen(_) => {}
        Command::Migrate => connect(&config).await?.migrate().await?,
        Command::Application(command) => on_applications(command, config).await?,
        Command::Item(ItemCommand::Unlock { id, output }) => {
            let app = open(config).await?;
            let item = item::unlock(&app, id).await?;
            answer(&output, &json!({ "id": item.id }), || {
                format!("Item {} may be updated.", item.id)
            });
        }
        Command::Connector(command) => on_connectors(command, config).await?,
        Command::Keys(KeysCommand::Rotate { output }) => rotate(config, &output).await?,
        Command::Backup { file, output } => back_up(&config, &file, &output).await?,
        Command::Doctor {
            restored: true,
            output,
        } => declare_restored(&config, &output).await?,
        Command::Ready => ready::ask(&config).await?,
        Command::Doctor { output, .. } => return Ok(examine(&config, &output).await),
    }
    Ok(ExitCode::SUCCESS)
}

async fn connect(config: &Config) -> Result<Db> {
    let url = config.database_url.expose_secret();
    Db::connect(url, config.database_connections).await
}

/// Prints an answer to stdout: one line of JSON, or a text for people.
fn answer(output: &Output, json: &serde_json::Value, text: impl FnOnce() -> String) {
    if output.json {
        println!("{json}");
    } else {
        println!("{}", text());
    }
}

async fn open(config: Config) -> Result<App> {
    App::open(config, Clock::system(), Rng::system(), Registry::builtin()).await
}

async fn on_connectors(command: ConnectorCommand, config: Config) -> Result<()> {
    let app = open(config).await?;
    match command {
        ConnectorCommand::List { output } => {
            let rows = retirement::list(&app).await?;
            answer(&output, &json!(rows), || {
                let lines: Vec<_> = rows.iter().map(connector_line).collect();
                lines.join("\n")
            });
        }
        ConnectorCommand::Retire { id, output } => {
            let row = retirement::retire(&app, id).await?;
            answer(&output, &json!(row), || connector_line(&row));
        }
        ConnectorCommand::Keep { id, output } => {
            let row = retirement::keep(&app, id).await?;
            answer(&output, &json!(row), || connector_line(&row));
        }
    }
    Ok(())
}

/// A connector in words.
fn connector_line(row: &retirement::Listed) -> String {
    let name = row.name.unwrap_or("(not in this version)");
    let end = row.retires_at.as_ref();
    let end = end.map_or(String::new(), |at| format!("  items are deleted at {at}"));
    format!("{:>5}  {:>7} items  {name}{end}", row.id, row.items)
}

async fn on_applications(command: ApplicationCommand, config: Config) -> Result<()> {
    let app = open(config).await?;
    let lists = matches!(command, ApplicationCommand::List { .. });
    operate(&app, command).await?;
    if !lists && let Err(error) = bus::tell_of_applications(&app).await {
        // They find out by themselves.
        error.log("hint");
    }
    Ok(())
}

async fn operate(app: &App, command: ApplicationCommand) -> Result<()> {
    let operator = operator(app);
    match command {
        ApplicationCommand::Create {
            name,
            environment,
            auto_sync,
            output,
        } => {
            let environment = environment.into();
            let interval = auto_sync.or_default(environment);
            let created = operator.create(&name, environment, interval).await?;
            answer(&output, &json!(created), || credentials(&created));
        }
        ApplicationCommand::Update {
            id,
            auto_sync,
            output,
        } => {
            let interval = auto_sync.interval();
            if interval.is_none() && !auto_sync.auto_sync_off {
                return Err(Error::invalid(
                    "autoSync",
                    "give --auto-sync-hours, --auto-sync-minutes or --auto-sync-off",
                ));
            }
            let row = operator.set_auto_sync(id, interval).await?;
            let json = json!({
                "id": row.id, "autoSyncIntervalHours": row.auto_sync_hours, "autoSyncIntervalMinutes": row.auto_sync_minutes,
            });
            answer(&output, &json, || pace(id, interval));
        }
        ApplicationCommand::List { output } => {
            let rows = operator.list().await?;
            let list: Vec<_> = rows
                .iter()
                .map(|row| {
                    json!({
                        "id": row.id, "clientId": row.id, "name": row.name, "environment": row.environment,
                        "autoSyncIntervalHours": row.auto_sync_hours, "autoSyncIntervalMinutes": row.auto_sync_minutes,
                        "disabledAt": row.disabled_at.map(|at| at.to_string()),
                        "createdAt": row.created_at.to_string(),
                    })
                })
                .collect();
            answer(&output, &json!(list), || {
                rows.iter()
                    .map(|row| {
                        let disabled = row
                            .disabled_at
                            .map_or(String::new(), |at| format!("  disabled since {at}"));
                        format!(
                            "{}  {:<11}  {}{disabled}",
                            row.id, row.environment, row.name
                        )
                    })
                    .collect::<Vec<_>>()
                    .join("\n")
            });
        }
        ApplicationCommand::RotateSecret { id, revoke, output } => {
            let secret = operator.rotate_secret(id, revoke).await?;
            let json = json!({ "id": id, "clientId": id, "clientSecret": secret, "tokensRevoked": revoke });
            answer(&output, &json, || {
                format!("client id      {id}\nclient secret  {secret}")
            });
        }
        ApplicationCommand::RotateWebhookSecret { id, output } => {
            let rotated = operator.rotate_webhook_secret(id).await?;
            let (secret, key) = (rotated.webhook_secret, rotated.webhook_public_key);
            let until = rotated.previous_until.to_string();
            let json = json!({ "id": id, "webhookSecret": secret, "webhookPublicKey": key, "previousUntil": until });
            answer(&output, &json, || {
                format!(
                    "webhook secret      {secret}\nwebhook public key  {key}\nThose of before sign beside them until {until}."
                )
            });
        }
        ApplicationCommand::RotateParametersKey { id, output } => {
            rotate_parameters_key(&operator, id, &output).await?;
        }
        ApplicationCommand::Disable { id, output } => {
            let row = operator.disable(id).await?;
            let json =
                json!({ "id": row.id, "disabledAt": row.disabled_at.map(|at| at.to_string()) });
            answer(&output, &json, || format!("Application {id} is disabled."));
        }
    }
    Ok(())
}

/// How often an application's Items are updated, in words.
fn pace(id: Uuid, interval: Option<Interval>) -> String {
    match interval {
        None => format!("Application {id} has no automatic runs."),
        Some(Interval::Hours(hours)) => {
            format!("Items of application {id} are updated every {hours} hours.")
        }
        Some(Interval::Minutes(1)) => {
            format!("Items of application {id} are updated every minute.")
        }
        Some(Interval::Minutes(minutes)) => {
            format!("Items of application {id} are updated every {minutes} minutes.")
        }
    }
}

async fn rotate_parameters_key(operator: &Operator<'_>, id: Uuid, output: &Output) -> Result<()> {
    let rotated = operator.rotate_parameters_key(id).await?;
    let (key, pem) = (rotated.key.id, rotated.key.public_key);
    let until = rotated.previous_until.map(|until| until.to_string());
    let json = json!({ "id": id, "keyId": key, "publicKeyPem": pem, "previousUntil": until });
    answer(output, &json, || {
        let before = until.map_or(String::new(), |until| {
            format!("\nWhat was encrypted with the one of before opens until {until}.")
        });
        format!("key id  {key}\n{}{before}", pem.trim_end())
    });
    Ok(())
}

fn operator(app: &App) -> Operator<'_> {
    Operator {
        db: &app.db,
        vault: &app.vault,
        clock: &app.clock,
        rng: &app.rng,
    }
}

fn credentials(created: &Created) -> String {
    format!(
        "application     {} ({})\nclient id       {}\nclient secret   {}\nwebhook secret  {}\nThe secrets are shown this once.",
        created.name,
        created.environment,
        created.client_id,
        created.client_secret,
        created.webhook_secret
    )
}

async fn rotate(config: Config, output: &Output) -> Result<()> {
    let (clock, rng) = (Clock::system(), Rng::system());
    let db = connect(&config).await?;
    db.schema().await?.check_known()?;
    if let MasterKeySource::Missing = config.master_key {
        return Err(Error::internal("no master key is given; nothing to rotate"));
    }
    // Refuses keys that do not open this database before anything is changed.
    Vault::open(&db, config.master_key.clone(), clock.clone(), rng.clone()).await?;
    let done = vault::rotate(&db, &config.master_key, &clock, &rng, app::BEAT).await?;
    note_for_all(&db, &clock, &rng, AuditAction::MasterKeyRotated).await?;
    answer(output, &json!(done), || {
        let old = if done.old_keys_dropped {
            "The old key was removed from the key file."
        } else {
            "The old key wraps nothing any more: remove it from PONTE_MASTER_KEY, or from the key file."
        };
        format!(
            "Master key {} wraps everything now ({} keys rewrapped). {old}",
            done.current, done.rewrapped
        )
    });
    Ok(())
}

async fn back_up(config: &Config, file: &Path, output: &Output) -> Result<()> {
    let backup = backup::take(config, file, &Clock::system(), &Rng::system()).await?;
    answer(output, &json!(backup), || {
        format!(
            "{}  {} bytes, verified\nThe master key is NOT in it, and without that nothing sealed opens: keep it apart.",
            backup.file.display(),
            backup.bytes
        )
    });
    Ok(())
}

async fn examine(config: &Config, output: &Output) -> ExitCode {
    let report = doctor::examine(config, &Clock::system(), &Rng::system()).await;
    answer(output, &json!(report), || report.to_string());
    if report.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Fails while nodes are connected to the database; those that have just stopped are given a moment to be gone.
async fn wait_until_alone(db: &Db) -> Result<()> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        if db::inspect::older_connections(db).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(Error::internal(
        "nodes are connected to this database: stop all of them first",
    ))
}

async fn declare_restored(config: &Config, output: &Output) -> Result<()> {
    let _alone = match config.engine {
        Engine::Sqlite => Some(lock_database(config)?),
        Engine::Postgres => None,
    };
    let db = connect(config).await?;
    wait_until_alone(&db).await?;
    if config.migrate {
        db.migrate().await?;
    } else {
        db.schema().await?.check_current()?;
    }
    let clock = Clock::system();
    if let Some(time) = db.server_time().await? {
        clock.follow(time);
    }
    let rng = Rng::system();
    let restored = backup::restored(&db, &clock, &rng).await?;
    note_for_all(&db, &clock, &rng, AuditAction::DatabaseRestored).await?;
    answer(output, &json!(restored), || {
        format!(
            "The log is {} from now on: cursors of before are refused.\n\
             {} executions and {} deliveries that were under way go on; every token of {} applications has ended.\n\
             What was done after the backup is to be done again: deletions, rotated secrets, disabled applications.",
            restored.log_id,
            restored.executions_released,
            restored.deliveries_released,
            restored.applications_signed_out
        )
    });
    Ok(())
}

async fn serve(config: Config) -> Result<()> {
    metrics::install();
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let alone = match config.engine {
        Engine::Sqlite => Some(lock_database(&config)?),
        Engine::Postgres => None,
    };
    let listen = |address| async move {
        TcpListener::bind(address)
            .await
            .map_err(|error| Error::internal(format!("cannot listen on {address}: {error}")))
    };
    let listener = listen(config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let app = open(config).await?;
    if alone.is_some() {
        // Whoever held a lease on this database is gone.
        db::execution::expire_leases(&app.db, app.clock.now()).await?;
    }
    welcome(&app, &listener).await?;
    app.start();
    let graph = graphql::build(app.clone());
    let stopper = app.clone();
    tokio::spawn(async move { stop_on_signal(&stopper).await });
    let served = http::serve(app.clone(), graph, listener, admin).await;
    app.stop();
    // Requests that were finished during the drain have been counted until now.
    if let Err(error) = audit::tally::flush(&app).await {
        error.log("audit");
    }
    if tokio::time::timeout(DRAIN, app.stopped()).await.is_err() {
        tracing::warn!(
            "stopped before everything had finished; what was under way is resumed by its lease"
        );
    }
    tracing::info!("stopped");
    served
}

/// One server at a time over an embedded database. Commands beside it need no lock.
fn lock_database(config: &Config) -> Result<std::fs::File> {
    let database = PathBuf::from(sqlite_path(config.database_url.expose_secret()));
    let path = database.with_extension("lock");
    app::create_folder_of(&path)?;
    let file = std::fs::File::create(&path)
        .map_err(|error| Error::internal(format!("cannot write {}: {error}", path.display())))?;
    file.try_lock().map_err(|_| {
        Error::internal(format!(
            "another ponte serves {}; stop it, or use PostgreSQL for several nodes",
            database.display()
        ))
    })?;
    Ok(file)
}

/// Says where everything is; on the very first start of an embedded database makes a sandbox application.
async fn welcome(app: &App, listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr().map_err(Error::internal)?;
    let base = app.config.public_url.as_ref().map_or_else(
        || format!("http://{address}"),
        |url| url.as_str().trim_end_matches('/').to_owned(),
    );
    tracing::info!(address = %address, engine = ?app.db.engine(), "listening");
    if app.db.engine() == Engine::Sqlite && operator(app).none().await? {
        let created = operator(app)
            .create("First application", Environment::Sandbox, None)
            .await?;
        println!("\n{}\n", credentials(&created));
    }
    println!("GraphQL         {base}/graphql");
    if app.config.graphiql {
        println!("console         {base}/graphql (in a browser)");
    }
    println!("subscriptions   {}/graphql", base.replacen("http", "ws", 1));
    println!("uploads         {base}/uploads");
    Ok(())
}

/// The first signal drains; a second one exits at once.
async fn stop_on_signal(app: &App) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    for again in [false, true] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if again {
            std::process::exit(130);
        }
        tracing::info!("stopping; a second signal exits at once");
        app.stop();
    }
}
