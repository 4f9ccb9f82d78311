//! How a handler tells that its answer is the last on the connection in HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::limits::Meter;

/// Whether a connection switches protocols. Each request carries that of its
/// connection as an extension.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// The answer says `101 Switching Protocols`.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether one has.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The application, for the requests of one connection.
pub struct Switching {
    app: TowerToHyperService<Router>,
    switch: Switch,
    meter: Arc<Meter>,
}

impl Switching {
    /// Over `app`; what is asked counts on `meter`.
    pub fn new(app: Router, switch: Switch, meter: Arc<Meter>) -> Self {
        let app = TowerToHyperService::new(app);
        Self { app, switch, meter }
    }
}

impl Service<Request<Incoming>> for Switching {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.switch.clone());
        request.extensions_mut().insert(Arc::clone(&self.meter));
        self.app.call(request)
    }
}
