//! What the HTTP API counts: requests by method and status, and how long they took.
use super::{
    family::Family,
    text::group,
    value::{Counter, Latency},
};

fn seconds() -> Latency {
    Latency::new(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0])
}

group! {
    /// Requests to the HTTP API.
    "HTTP API" Api {
        requests: Family<Counter, 2> = Family::open(
            ["method", "status"],
            Counter::default,
            "a method of the API, or `unknown`; a status of HTTP",
        ),
            "always_online_api_requests", "Requests to the HTTP API, by method and status.";
        latency: Family<Latency, 1> = Family::open(
            ["method"], seconds, "a method of the API, or `unknown`"
        ),
            "always_online_api_request_seconds",
            "How long requests to the HTTP API took, by method.";
    }
}

impl Api {
    /// A request was answered.
    pub fn answered(&self, method: &'static str, status: u16, seconds: f64) {
        self.requests.with([method, status.to_string().as_str()], Counter::inc);
        self.latency.with([method], |latency| latency.observe(seconds));
    }
}
