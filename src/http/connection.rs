//! Connections: accepted while the node runs, finished when it stops.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, HttpBody},
    extract::ConnectInfo,
    http::Request,
    response::Response,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{Timing, Web};
use crate::{app::App, error::Result};

/// Most connections of a port at once, sockets included; more wait to be accepted.
const CONNECTIONS: usize = 16_384;
/// Largest head of an HTTP/1 request.
const HEAD: usize = 96 * 1024;
/// Most requests at once on an HTTP/2 connection.
const STREAMS: u32 = 100;

/// A place among the [`CONNECTIONS`], kept by whatever the connection becomes.
#[derive(Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Serves both ports until the node stops, then finishes what is under way.
pub(super) async fn serve(
    web: Web,
    listener: TcpListener,
    admin: Option<TcpListener>,
) -> Result<()> {
    let port = Port {
        app: web.app.clone(),
        timing: web.timing,
        connections: TaskTracker::new(),
        cut: CancellationToken::new(),
    };
    let operators = async {
        if let Some(admin) = admin {
            port.accept(admin, web.admin_router()).await;
        }
    };
    tokio::join!(port.accept(listener, web.router()), operators);
    port.connections.close();
    web.sockets.close();
    let finished = async {
        port.connections.wait().await;
        web.sockets.wait().await;
    };
    if timeout(web.timing.drain, finished).await.is_err() {
        tracing::warn!(
            connections = port.connections.len(),
            sockets = web.sockets.len(),
            "cut off what did not finish in time"
        );
        port.cut.cancel();
    }
    Ok(())
}

/// What the connections of a node share.
struct Port {
    app: App,
    timing: Timing,
    connections: TaskTracker,
    cut: CancellationToken,
}

impl Port {
    async fn accept(&self, listener: TcpListener, router: Router) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                let place = place.expect("the places are never closed");
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                accepted = accepted => accepted,
                () = self.app.stopping() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let service = Connected {
                        router: router.clone(),
                        address,
                        place: Place(Arc::new(place)),
                        asked: Arc::default(),
                    };
                    self.connections.spawn(connection(
                        self.app.clone(),
                        self.timing,
                        self.cut.clone(),
                        stream,
                        service,
                    ));
                }
                // Out of file descriptors, or a client that is gone already: neither ends the port.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(
    app: App,
    timing: Timing,
    cut: CancellationToken,
    stream: TcpStream,
    service: Connected,
) {
    // Only a matter of latency.
    let _ = stream.set_nodelay(true);
    let asked = service.asked.clone();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timing.head)
        .max_buf_size(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(timing.ping)
        .keep_alive_timeout(timing.ping);
    let serving = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = pin!(serving);
    // The builder waits for ever for the first bytes, which tell the protocol.
    let silent = async {
        sleep(timing.head).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    // How a connection ends is its client's affair.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = silent => return,
        () = app.stopping() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = cut.cancelled() => {}
    }
}

/// The router as one connection sees it.
#[derive(Clone)]
struct Connected {
    router: Router,
    address: SocketAddr,
    place: Place,
    asked: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Connected
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<Request<B>>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.address));
        extensions.insert(self.place.clone());
        self.router.call(request)
    }
}
