//! Estates to show and to measure with.

use super::{
    estate::{Estate, RestApi, UsagePlan},
    identity::Role,
};

/// The account of the samples.
pub const ACCOUNT: &str = "123456789012";

/// The region of the samples.
pub const REGION: &str = "eu-west-1";

impl Estate {
    /// A small company: three APIs for partners in two stages, one without a usage plan, one for its own network.
    /// Any access key belongs to its account.
    pub fn demo() -> Self {
        let mut estate = Self::new();
        estate.anybody(ACCOUNT);
        estate.account(ACCOUNT).roles.insert("federation-agent".to_owned(), Role::open());
        let region = estate.region(ACCOUNT, REGION);
        region.apis = vec![
            RestApi::new("p3ts7ore01", "Petstore")
                .version("1.4.0")
                .description("Pets, their owners and their orders.")
                .tag("team", "storefront")
                .stage("prod")
                .stage("dev")
                .method("GET", "/pets")
                .method("POST", "/pets")
                .method("GET", "/pets/{petId}"),
            RestApi::new("0rders42ab", "Orders")
                .version("2.0.1")
                .description("Place an order and follow it.")
                .tag("team", "fulfilment")
                .stage("prod")
                .method("GET", "/orders")
                .method("POST", "/orders")
                .method("GET", "/orders/{orderId}")
                .method("DELETE", "/orders/{orderId}"),
            RestApi::new("paym3nts9z", "Payments")
                .description("Charge a card, refund a charge.")
                .stage("prod")
                .method("POST", "/charges")
                .method("POST", "/charges/{chargeId}/refunds"),
            RestApi::new("weath3r0aa", "Weather").stage("prod").open_method("GET", "/today"),
            RestApi::new("pr1vate5hr", "Salaries").private().stage("prod").method("GET", "/salaries"),
        ];
        region.plans = vec![
            UsagePlan::new("br0nz3", "Bronze")
                .description("To try things out.")
                .covers("p3ts7ore01", "dev")
                .covers("p3ts7ore01", "prod")
                .throttle(5.0, 10)
                .quota(1_000, "DAY"),
            UsagePlan::new("g0ld77", "Gold")
                .description("For partners with a contract.")
                .covers("p3ts7ore01", "prod")
                .covers("0rders42ab", "prod")
                .covers("paym3nts9z", "prod")
                .throttle(100.0, 200)
                .quota(1_000_000, "MONTH"),
            UsagePlan::new("hr0nly", "Staff").covers("pr1vate5hr", "prod").throttle(1.0, 2),
        ];
        estate
    }

    /// `count` APIs of one stage each, all covered by usage plans, with documents of `document_bytes` that are made
    /// when they are asked for. Any access key belongs to its account.
    pub fn large(count: usize, document_bytes: usize) -> Self {
        let mut estate = Self::new();
        estate.anybody(ACCOUNT);
        let region = estate.region(ACCOUNT, REGION);
        let mut everything = UsagePlan::new("plan01", "Everything").throttle(10.0, 20).quota(10_000, "DAY");
        for nth in 0..count {
            let id = format!("large{nth:05}");
            everything = everything.covers(&id, "prod");
            region.apis.push(
                RestApi::new(&id, &format!("API {nth}"))
                    .version("1.0.0")
                    .stage("prod")
                    .method("GET", "/items")
                    .document_bytes(document_bytes),
            );
        }
        region.plans.push(everything);
        estate
    }
}
