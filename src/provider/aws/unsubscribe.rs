//! A subscription ends: its API key is deleted, wherever it is. Gone means: deleted now, or not found in the account
//! that the metadata names, or not found in every configured account when it names none.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, stream};

use super::{
    Inner,
    address::{StageAddress, region_of_url},
    call::within,
    client::{Access, Account, Target},
    failure::Failure,
    map::key,
    nameless,
    region::is_region,
    subscribe::delete,
};
use crate::{
    model::{Class, Error, Subscription, Texts},
    provider::{Call, Revoked},
};

/// How many accounts are asked at once.
const AT_ONCE: usize = 8;

/// Removes the grant of `subscription`.
pub(super) async fn unsubscribe(
    inner: &Inner,
    call: &Call,
    api_id: &str,
    subscription: &Subscription,
) -> Result<Revoked, Error> {
    let metadata = &subscription.metadata;
    let region = region(api_id, metadata);
    let Some(key_id) = key::told(metadata, key::API_KEY) else {
        let number = key::told(metadata, key::ACCOUNT);
        return nameless::remove(&inner.access, call, &subscription.id, number, region.as_deref()).await;
    };
    let removing = async {
        match key::told(metadata, key::ACCOUNT) {
            Some(number) => in_account(&inner.access, call, number, region.as_deref(), key_id).await,
            None => anywhere(&inner.access, call, region.as_deref(), key_id).await,
        }
    };
    let revoked = within(call, &format!("deleting the API key {key_id}"), removing).await??;
    // The line of the command, or of the settling, says the same to people.
    tracing::debug!(
        integration = %inner.access.config.integration, command = %call.id, subscription = %subscription.id,
        key = key_id, already_gone = revoked == Revoked::AlreadyGone, "the API key is gone"
    );
    Ok(revoked)
}

/// Of `metadata`, what finding and removing a key needs: its id, account, region and usage plan. Nothing else of what the
/// plane tells is kept.
pub(super) fn lasting(metadata: &Texts) -> Texts {
    let told = |name| key::told(metadata, name).map(|value| (String::from(name), value.to_owned()));
    let mut lasting: Texts =
        [key::API_KEY, key::ACCOUNT, key::REGION, key::USAGE_PLAN].into_iter().filter_map(told).collect();
    // What the region would else be told by does not last.
    if !lasting.get(key::REGION).is_some_and(|region| is_region(region)) {
        lasting.remove(key::REGION);
        lasting.extend(region("", metadata).map(|region| (key::REGION.to_owned(), region)));
    }
    lasting
}

/// The region that the metadata names, else the API's.
pub(super) fn region(api_id: &str, metadata: &Texts) -> Option<String> {
    let named = key::told(metadata, key::REGION).filter(|region| is_region(region)).map(str::to_owned);
    named
        .or_else(|| metadata.get(key::URL).and_then(|url| region_of_url(url)))
        .or_else(|| StageAddress::parse(api_id).map(|address| address.region))
}

/// The account is named: it alone answers whether the key is there.
async fn in_account(
    access: &Access,
    call: &Call,
    number: &str,
    region: Option<&str>,
    key_id: &str,
) -> Result<Revoked, Error> {
    let mut unknown_base = false;
    let mut errors = Vec::new();
    // The regions in which the key can be, and whether it is proved not to be there.
    let mut regions: BTreeMap<String, bool> = region.iter().map(|region| ((*region).to_owned(), false)).collect();
    for account in everybody(access) {
        let known = access.number(account).await;
        if known.as_deref().is_some_and(|known| known != number) {
            continue;
        }
        // STS does not say whose credentials these are: they may do, but their "not found" proves nothing.
        unknown_base |= known.is_none();
        if region.is_none() {
            for region in &account.config.regions {
                regions.entry(region.clone()).or_default();
            }
        }
        // One role's word is enough; another role of the account is asked only where it failed.
        for (region, gone) in regions.iter_mut().filter(|(_, gone)| !**gone) {
            let target = access.target(account, region).await;
            match delete(&target, call, key_id).await {
                Ok(()) => return Ok(Revoked::Deleted),
                Err(failure) if failure.class() == Class::NotFound => *gone = known.is_some(),
                Err(failure) => errors.push(failure.error),
            }
        }
    }
    if !regions.is_empty() && regions.values().all(|gone| *gone) {
        return Ok(Revoked::AlreadyGone);
    }
    if let Some(error) = errors.into_iter().next() {
        return Err(error.during(format!("the API key {key_id} of account {number} is not deleted")));
    }
    Err(if unknown_base {
        Error::unavailable(format!(
            "the API key {key_id} is not known to the agent's own account, but STS does not tell whether that is \
             account {number}: allow sts:GetCallerIdentity, or name a role of account {number}"
        ))
    } else {
        Error::invalid(format!(
            "the API key {key_id} is in account {number}, which is not configured, so that nobody can say whether it \
             is gone: name a role of that account in roleArn or accounts, and close the subscription again"
        ))
    })
}

/// No account is named (a key made by Gravitee's agent in its time with one account): the API's region first, then
/// everywhere.
async fn anywhere(access: &Access, call: &Call, region: Option<&str>, key_id: &str) -> Result<Revoked, Error> {
    let (first, then): (Vec<Place>, Vec<Place>) =
        places(access, region, None).await.into_iter().partition(|place| Some(place.region.as_str()) == region);
    let mut unasked = Vec::new();
    for places in [first, then] {
        if try_all(call, places, key_id, &mut unasked).await {
            return Ok(Revoked::Deleted);
        }
    }
    match unasked.len() {
        0 => Ok(Revoked::AlreadyGone),
        count => {
            let class = unasked.iter().map(Error::class).find(|class| class.is_passing()).unwrap_or(unasked[0].class());
            let sentences: Vec<&str> = unasked.iter().map(Error::sentence).collect();
            Err(Error::new(
                class,
                format!(
                    "the API key {key_id} was found nowhere, but {count} of the configured accounts and regions could \
                     not be asked: {}",
                    sentences.join("; ")
                ),
            ))
        }
    }
}

/// Tries to delete the key in all of `places`; those that could not be asked are added to `unasked`.
async fn try_all(call: &Call, places: Vec<Place>, key_id: &str, unasked: &mut Vec<Error>) -> bool {
    let mut answers = stream::iter(places)
        .map(|place| async move { place.ask(|target| async move { delete(&target, call, key_id).await }).await })
        .buffer_unordered(AT_ONCE);
    let mut deleted = false;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(()) => deleted = true,
            Err(failure) if failure.class() == Class::NotFound => {}
            Err(failure) => unasked.push(failure.error),
        }
    }
    deleted
}

/// An account's region, with everybody who can ask there.
pub(super) struct Place {
    /// The region's name.
    pub(super) region: String,
    /// The account's number, when it is known.
    pub(super) number: Option<String>,
    targets: Vec<Target>,
}

impl Place {
    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        self.targets.first().map_or(self.region.as_str(), |target| &target.place)
    }

    /// Asks by one identity after the other until one gets an answer: two roles into one account see the same keys,
    /// and one of them may lack the right. The first one's failure is told when all fail.
    pub(super) async fn ask<T, F, Fut>(&self, ask: F) -> Result<T, Failure>
    where
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut first = None;
        for target in &self.targets {
            match ask(target.clone()).await {
                Err(failure) if failure.class() != Class::NotFound => {
                    first.get_or_insert(failure);
                }
                answer => return answer,
            }
        }
        Err(first.unwrap_or_else(|| Failure::harmless(Error::bug("a place without anybody to ask there"))))
    }
}

/// Every account and region in which a key can be, `region` among those of each account; those of the account `number`
/// alone when it is given, and of an identity whose account nobody knows.
pub(super) async fn places(access: &Access, region: Option<&str>, number: Option<&str>) -> Vec<Place> {
    of_accounts(access, everybody(access), region, number).await
}

/// Every account and region of the settings.
pub(super) async fn configured(access: &Access) -> Vec<Place> {
    of_accounts(access, access.accounts.iter().collect(), None, None).await
}

async fn of_accounts(
    access: &Access,
    accounts: Vec<&Arc<Account>>,
    region: Option<&str>,
    number: Option<&str>,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for account in accounts {
        let known = access.number(account).await;
        if number.is_some_and(|number| known.as_deref().is_some_and(|known| known != number)) {
            continue;
        }
        let mut regions: Vec<&str> = account.config.regions.iter().map(String::as_str).collect();
        if let Some(region) = region.filter(|region| !regions.contains(region)) {
            regions.push(region);
        }
        for region in regions {
            let target = access.target(account, region).await;
            let same = |place: &&mut Place| known.is_some() && place.number == known && place.region == region;
            match places.iter_mut().find(same) {
                Some(place) => place.targets.push(target),
                None => {
                    places.push(Place { region: region.to_owned(), number: known.clone(), targets: vec![target] });
                }
            }
        }
    }
    places
}

/// Every identity that there is: the accounts of the settings, then the base identity if it is not one of them.
fn everybody(access: &Access) -> Vec<&Arc<Account>> {
    let mut all: Vec<&Arc<Account>> = access.accounts.iter().collect();
    if !all.iter().any(|account| Arc::ptr_eq(account, &access.base)) {
        all.push(&access.base);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_comes_from_the_metadata_then_the_url_then_the_id() {
        let url = (key::URL.to_owned(), "https://a1.execute-api.eu-west-3.amazonaws.com/prod".to_owned());
        let named = (key::REGION.to_owned(), "us-east-1".to_owned());
        let id = "eu-west-1:a1:prod";
        assert_eq!(region(id, &Texts::from([named, url.clone()])).as_deref(), Some("us-east-1"));
        assert_eq!(region(id, &Texts::from([url])).as_deref(), Some("eu-west-3"));
        assert_eq!(region(id, &Texts::new()).as_deref(), Some("eu-west-1"));
        assert_eq!(region("foreign", &Texts::new()), None);
    }

    #[test]
    fn what_lasts_is_what_removing_needs_and_nothing_else() {
        let texts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Texts>()
        };
        let url = ("url", "https://a1.execute-api.eu-west-3.amazonaws.com/prod");
        let grant = [
            ("aws-account-id", "123456789012"),
            ("aws-api-key-id", "abcdefghij"),
            ("aws-region", "us-east-1"),
            ("aws-usage-plan-id", "gold01"),
        ];
        let others = [url, ("planId", "gold01"), ("consumerKey", "c"), ("aws-tag-team", "x"), ("aws-note", "secret")];
        assert_eq!(lasting(&texts(&[&grant[..], &others].concat())), texts(&grant));
        // The region is taken from where it will not be any more.
        let told =
            texts(&[("aws-api-key-id", " abcdefghij "), ("aws-account-id", " "), ("aws-region", "nowhere"), url]);
        assert_eq!(lasting(&told), texts(&[("aws-api-key-id", "abcdefghij"), ("aws-region", "eu-west-3")]));
        assert_eq!(lasting(&texts(&[("planId", "gold01")])), Texts::new());
    }
}
