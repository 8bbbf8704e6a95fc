//! The health and node surface of the real binary: Gravitee's paths, who may ask, TLS, the probes of Gravitee's chart.

#[path = "link/certificates.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod certificates;
#[path = "support/kubelet.rs"]
mod kubelet;
#[path = "node/probes.rs"]
mod probes;
#[expect(dead_code, reason = "the other tests use all of it")]
mod support;
#[path = "node/surface.rs"]
mod surface;

/// The one integration.
const ONE: &str = "one";
