use super::*;

fn level(per_second: f64, burst: f64) -> Level {
    Level { per_second, burst, tokens: burst, at: Instant::now(), in_a_row: 0 }
}

#[tokio::test(start_paused = true)]
async fn a_burst_then_an_even_pace() {
    let bucket = Bucket::new(8.0, 30);
    let start = Instant::now();
    for _ in 0..30 {
        drop(bucket.enter("r", Haste::Patient).await);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for _ in 0..80 {
        drop(bucket.enter("r", Haste::Patient).await);
    }
    let took = start.elapsed().as_secs_f64();
    assert!((10.0..10.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everybody_and_opens_gently() {
    let bucket = Arc::new(Bucket::new(10.0, 30));
    drop(bucket.enter("r", Haste::Patient).await);
    bucket.pause(Duration::from_secs(3));
    let start = Instant::now();
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let bucket = bucket.clone();
            tokio::spawn(async move {
                drop(bucket.enter("r", Haste::Patient).await);
                start.elapsed().as_millis()
            })
        })
        .collect();
    let mut times = Vec::new();
    for waiter in waiters {
        times.push(waiter.await.unwrap());
    }
    assert!(times[0] >= 3_000 && times[0] < 3_010, "{times:?}");
    assert!(times[4] >= 3_400 && times[4] < 3_450, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_lengthens_a_wait_that_has_begun() {
    let bucket = Arc::new(Bucket::new(1.0, 1));
    drop(bucket.enter("r", Haste::Patient).await);
    let start = Instant::now();
    let waiter = tokio::spawn({
        let bucket = bucket.clone();
        async move {
            drop(bucket.enter("r", Haste::Patient).await);
            start.elapsed()
        }
    });
    tokio::time::advance(Duration::from_millis(500)).await;
    bucket.pause(Duration::from_secs(5));
    assert!(waiter.await.unwrap() >= Duration::from_millis(5_500));
}

#[tokio::test(start_paused = true)]
async fn who_shares_an_account_shares_its_bucket_and_the_least_setting_counts() {
    let quota = |endpoint: &str, account: &str, region: Option<&str>| Quota {
        endpoint: Some(endpoint.into()),
        account: account.into(),
        region: region.map(str::to_owned),
    };
    let first = Bucket::shared(quota("shared", "1", None), 8.0, 30);
    let second = Bucket::shared(quota("shared", "1", None), 100.0, 5);
    assert!(Arc::ptr_eq(&first, &second));
    for other in [quota("other", "1", None), quota("shared", "2", None), quota("shared", "1", Some("eu-west-1"))] {
        assert!(!Arc::ptr_eq(&first, &Bucket::shared(other, 8.0, 30)));
    }
    let start = Instant::now();
    for _ in 0..5 + 8 {
        drop(second.enter("r", Haste::Patient).await);
    }
    assert!((0.99..1.1).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    drop((first, second));
    let fresh = Bucket::shared(quota("shared", "1", None), 8.0, 30);
    assert!((fresh.level.lock().unwrap().burst - 30.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_takes_nothing() {
    let bucket = Bucket::new(1.0, 1);
    drop(bucket.enter("r", Haste::Patient).await);
    let gone = tokio::time::timeout(Duration::from_millis(100), bucket.enter("r", Haste::Patient)).await;
    assert!(gone.is_err());
    let start = Instant::now();
    drop(bucket.enter("r", Haste::Patient).await);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_pause_does_not_open_a_longer_one() {
    let mut level = level(10.0, 5.0);
    let now = Instant::now();
    assert_eq!(level.shut(now, now + Duration::from_secs(9)), Duration::from_secs(9));
    assert_eq!(level.shut(now, now + Duration::from_secs(1)), Duration::ZERO, "it is shut already");
    assert_eq!(level.take(now + Duration::from_secs(2)), Err(now + Duration::from_secs(9)));
    assert_eq!(level.take(now + Duration::from_secs(9)), Ok(()));
}

/// How long a subscription's three calls take beside an ingest that reads as fast as it may, and how many reads the
/// ingest had in all.
async fn subscription_beside_an_ingest(urgent: Haste) -> (Duration, usize) {
    let bucket = Arc::new(Bucket::new(8.0, 30));
    let reads = Arc::new(AtomicUsize::new(0));
    // The reads of an ingest and the lists of another command: all that may be under way, and more.
    for _ in 0..40 {
        let (bucket, reads) = (bucket.clone(), reads.clone());
        tokio::spawn(async move {
            while let Some(_place) = bucket.enter("r", Haste::Patient).await {
                reads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let start = Instant::now();
    for _ in 0..3 {
        drop(bucket.enter("r", urgent).await);
    }
    let took = start.elapsed();
    tokio::time::sleep_until(start + Duration::from_secs(10)).await;
    (took, reads.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn a_subscription_does_not_queue_behind_an_ingest() {
    let (took, reads) = subscription_beside_an_ingest(Haste::Urgent).await;
    assert!(took < Duration::from_millis(500), "three tokens at 8 a second: {took:?}");
    // The rate holds: 30 at once, and 8 a second for 30 s, of which three went to the subscription.
    assert!((260..=270).contains(&reads), "{reads}");
    let (took, _) = subscription_beside_an_ingest(Haste::Patient).await;
    assert!(took > Duration::from_secs(4), "the order is what makes the difference: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_subscriptions_leaves_an_ingest_its_share() {
    let bucket = Arc::new(Bucket::new(8.0, 1));
    let counts = [Haste::Urgent, Haste::Patient].map(|haste| {
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let (bucket, count) = (bucket.clone(), count.clone());
            tokio::spawn(async move {
                while let Some(_place) = bucket.enter("r", haste).await {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        count
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let [urgent, patient] = counts.map(|count| count.load(Ordering::SeqCst));
    assert!((58..=62).contains(&urgent) && (18..=21).contains(&patient), "{urgent} and {patient}");
}

#[tokio::test(start_paused = true)]
async fn an_urgent_waiter_that_leaves_holds_nobody_up() {
    let bucket = Arc::new(Bucket::new(1.0, 1));
    drop(bucket.enter("r", Haste::Patient).await);
    let start = Instant::now();
    let patient = tokio::spawn({
        let bucket = bucket.clone();
        async move {
            drop(bucket.enter("r", Haste::Patient).await);
            start.elapsed()
        }
    });
    let left = tokio::time::timeout(Duration::from_secs(1), bucket.enter("r", Haste::Urgent)).await;
    assert!(left.is_err());
    assert!(patient.await.unwrap() < Duration::from_millis(1_100));
}

/// It stands in the queue, and nobody drives it.
#[tokio::test(start_paused = true)]
async fn a_patient_waiter_that_is_not_driven_holds_up_no_subscription() {
    let bucket = Bucket::new(8.0, 1);
    drop(bucket.enter("r", Haste::Urgent).await);
    let mut idle = std::pin::pin!(bucket.enter("r", Haste::Patient));
    assert!(futures_util::poll!(idle.as_mut()).is_pending());
    let start = Instant::now();
    for _ in 0..6 {
        drop(bucket.enter("r", Haste::Urgent).await);
    }
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_leave_places_to_subscriptions_and_to_other_regions() {
    let bucket = Bucket::new(1_000.0, 1_000);
    let mut hanging = Vec::new();
    for _ in 0..PATIENT_AT_ONCE {
        hanging.push(bucket.enter("dead", Haste::Patient).await);
    }
    let soon = |region, haste| tokio::time::timeout(Duration::from_secs(1), bucket.enter(region, haste));
    assert!(soon("dead", Haste::Patient).await.is_err());
    assert!(soon("dead", Haste::Urgent).await.is_ok());
    assert!(soon("alive", Haste::Patient).await.is_ok());
}
