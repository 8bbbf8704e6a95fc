use super::*;

fn taken(plans: &[&str]) -> Taken {
    let plans = plans.iter().map(|plan| ((*plan).to_owned(), format!("The {plan}"))).collect();
    Taken { id: "orders".into(), plans }
}

fn change(api: &str, plans: &[&str]) -> Change {
    Change { apis: BTreeMap::from([(api.to_owned(), taken(plans))]), once: None }
}

fn in_folder(folder: &Path) -> Ingested {
    Ingested::in_folder(folder, &Journal::in_memory())
}

#[tokio::test]
async fn it_outlives_the_process_and_the_latest_stands() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("ingested");
    let first = in_folder(&folder);
    assert_eq!(first.read("one").await, Known::default());
    assert!(!folder.exists(), "reading makes nothing");
    first.keep("one", change("orders", &["gold", "bronze"])).await;
    first.keep("one", change("users", &["gold"])).await;
    first.keep("two/../../x", change("orders", &["iron"])).await;
    first.keep("one", change("orders", &["gold"])).await;

    let second = in_folder(&folder);
    let known = second.read("one").await;
    assert_eq!(known.apis, BTreeMap::from([("orders".into(), taken(&["gold"])), ("users".into(), taken(&["gold"]))]));
    assert_eq!(second.read("two/../../x").await.apis["orders"], taken(&["iron"]));
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no id leads out of the folder");
    assert!(first.trouble().is_none());
}

/// Two processes, as far as locks go: each has its own file description.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_on_one_folder_lose_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let write = |who: &'static str| {
        let ingested = in_folder(folder.path());
        tokio::spawn(async move {
            for n in 0..25 {
                ingested.keep("one", change(&format!("{who}-{n}"), &["gold"])).await;
            }
            assert_eq!(ingested.trouble(), None);
        })
    };
    let (a, b) = (write("a"), write("b"));
    a.await.unwrap();
    b.await.unwrap();
    assert_eq!(in_folder(folder.path()).read("one").await.apis.len(), 50);
}

#[tokio::test]
async fn what_cannot_be_read_is_put_aside_and_not_taken_for_the_truth() {
    let (newer, torn) = (r#"{"v":2,"plans":[]}"#, r#"{"v":1,"integration":"one","apis":{"orders":{"id""#);
    for text in [newer, torn, "", "null"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one.json"), text).unwrap();
        let ingested = in_folder(folder.path());
        let known = ingested.read("one").await;
        assert!(known.unreadable.is_some_and(|why| why.contains("one.json cannot be read")), "{text}");
        assert_eq!(fs::read_to_string(folder.path().join("one.json")).unwrap(), text, "reading leaves it");

        ingested.keep("one", change("orders", &["gold"])).await;
        let known = in_folder(folder.path()).read("one").await;
        assert_eq!((known.apis.len(), known.unreadable), (1, None));
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = names.filter(|name| name.to_string_lossy().contains("unreadable-")).collect::<Vec<_>>();
        let [aside] = aside.as_slice() else { panic!("{aside:?}") };
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_costs_the_memory_of_the_next_life_only() {
    let data = tempfile::tempdir().unwrap();
    // A file where the folder should be fails for root, too.
    let folder = data.path().join("ingested");
    fs::write(&folder, "").unwrap();
    let ingested = in_folder(&folder);
    ingested.keep("one", Change { once: Some(Once::Used), ..change("orders", &["gold"]) }).await;
    assert!(ingested.trouble().is_some());
    let known = ingested.read("one").await;
    assert_eq!(known.apis["orders"], taken(&["gold"]));
    assert!(known.once_used.is_some());

    fs::remove_file(&folder).unwrap();
    ingested.keep("one", change("users", &["gold"])).await;
    assert_eq!(ingested.trouble(), None);
    let known = in_folder(&folder).read("one").await;
    assert_eq!(known.apis.len(), 2, "what could not be written then is written now");
    assert!(known.once_used.is_some());
}

#[tokio::test]
async fn the_one_time_is_remembered_until_it_is_given_afresh() {
    let folder = tempfile::tempdir().unwrap();
    let once = |once| Change { once: Some(once), ..Change::default() };
    in_folder(folder.path()).keep("one", once(Once::Used)).await;
    in_folder(folder.path()).keep("one", change("orders", &["gold"])).await;
    assert!(in_folder(folder.path()).read("one").await.once_used.is_some());
    assert!(in_folder(folder.path()).read("two").await.once_used.is_none());
    in_folder(folder.path()).keep("one", once(Once::Afresh)).await;
    let known = in_folder(folder.path()).read("one").await;
    assert_eq!((known.once_used, known.apis.len()), (None, 1));
}

#[tokio::test]
async fn what_is_not_news_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let ingested = in_folder(folder.path());
    ingested.keep("one", change("orders", &["gold"])).await;
    let path = folder.path().join("one.json");
    // A replaced file is another one; a link to it stays with the old one.
    let link = folder.path().join("link");
    fs::hard_link(&path, &link).unwrap();
    ingested.keep("one", change("orders", &["gold"])).await;
    let links = |path: &Path| std::os::unix::fs::MetadataExt::nlink(&fs::metadata(path).unwrap());
    assert_eq!(links(&path), 2);
    ingested.keep("one", change("orders", &["iron"])).await;
    assert_eq!((links(&path), links(&link)), (1, 1));
}

/// The format is for ever: the next one must read it.
#[test]
fn format_1_is_read() {
    let text = br#"{"v":1,"integration":"one","onceUsed":"2026-11-22T17:00:00Z","apis":{"u-orders":{"id":"orders","plans":{"gold":"The gold"}}}}"#;
    let known = parse(text).unwrap();
    assert_eq!(known.apis["u-orders"], taken(&["gold"]));
    assert_eq!(known.once_used.as_deref(), Some("2026-11-22T17:00:00Z"));
}
