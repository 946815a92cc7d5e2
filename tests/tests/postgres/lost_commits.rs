//! Scenarios 31 and 32: what is not known is asked, and a caller that goes away undoes nothing.

use std::{future::poll_fn, pin::pin, task::Poll};

use ordered_consumer::FailureLog;
use ordered_consumer::gate::{Logged, Reply};
use ordered_consumer_tests::postgres::{TestSchema, url};

use crate::{
    proxy::{Cut, Proxy},
    support::{apply, arrive, consumer, fail, held, one, settings, try_apply},
};

#[tokio::test]
async fn a_commit_whose_outcome_was_lost_is_unknown_and_asking_again_finds_it_out() {
    let schema = TestSchema::new();
    let proxy = Proxy::start(&url()).await;
    let log = schema.builder_at(&proxy.url).connect().await.unwrap();
    apply(&log, &[fail("first", 1)]).await;
    for (index, cut) in [(2, Cut::Before), (3, Cut::After), (4, Cut::Before), (5, Cut::After)] {
        proxy.cut_next(cut);
        let lost = try_apply(&log, &[arrive("first", index)]).await.unwrap_err();
        assert!(lost.is_outcome_unknown() && lost.is_transient(), "{cut:?}: {lost:?}");
        assert!(proxy.has_cut());
        one(&log, arrive("first", index)).await;
        assert_eq!(held(&log, "first").await, (1..=index).collect::<Vec<_>>(), "{cut:?}");
        let totals = log.totals(&consumer()).await.unwrap();
        assert_eq!(u128::from(totals.held_events), index, "counted once");
    }
}

#[tokio::test]
async fn a_failure_whose_commit_was_lost_is_logged_once() {
    for (cut, expected) in [(Cut::Before, false), (Cut::After, true)] {
        let schema = TestSchema::new();
        let proxy = Proxy::start(&url()).await;
        let log = schema.builder_at(&proxy.url).connect().await.unwrap();
        apply(&log, &[fail("first", 1)]).await;
        proxy.cut_next(cut);
        assert!(try_apply(&log, &[fail("e", 7)]).await.unwrap_err().is_outcome_unknown());
        let reply = one(&log, fail("e", 7)).await;
        assert_eq!(reply == Reply::Logged(Logged::Known), expected, "{cut:?}: {reply:?}");
        assert_eq!(held(&log, "e").await, [7]);
    }
}

#[tokio::test]
async fn a_call_dropped_at_any_point_loses_nothing_acknowledged_and_leaves_no_transaction_open() {
    let schema = TestSchema::new();
    let name = format!("{}?application_name=ignored", url());
    let log = schema.builder_at(&name).connect().await.unwrap();
    apply(&log, &[fail("first", 1)]).await;
    for polls in 0..10_u32 {
        let entity = format!("dropped {polls}");
        let requests = [fail(entity, 1)];
        {
            let (name, settings) = (consumer(), settings());
            let mut call = pin!(log.apply(&name, &settings, &requests));
            let mut left = polls;
            poll_fn(|context| {
                if call.as_mut().poll(context).is_ready() || left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            })
            .await;
        }
        // Acknowledged after another call was dropped, and seen by everybody.
        apply(&log, &[fail(format!("kept {polls}"), 1)]).await;
        let kept = schema
            .rows(&format!("select count(*)::text from {{schema}}.gate where entity = 'kept {polls}'::bytea"))
            .await;
        assert_eq!(kept, ["1"]);
        // A call that was dropped goes on by itself: asked again, it is known, and not done twice.
        let reply = one(&log, requests[0].clone()).await;
        assert!(matches!(reply, Reply::Logged(_)), "{reply:?}");
        assert_eq!(held(&log, format!("dropped {polls}")).await, [1]);
    }
    log.close().await;
    let open = "select count(*)::text from pg_locks l join pg_class c on c.oid = l.relation \
                join pg_namespace n on n.oid = c.relnamespace where n.nspname = '{schema}'";
    assert_eq!(schema.rows(open).await, ["0"]);
}
