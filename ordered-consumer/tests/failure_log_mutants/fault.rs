//! The faults by name.

macro_rules! faults {
    ($($fault:ident),* $(,)?) => {
        /// What is wrong with a log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            None,
            $($fault),*
        }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$fault),*];
        }
    };
}

faults! {
    AcceptsAnyAction,
    ActsWhenRead,
    AnswersAResultTwice,
    AnswersInItsOwnOrder,
    BelievesWhateverACopySays,
    ChangesVersionsWithHolds,
    ComparesHalfOfAToken,
    CountsAFailureAgain,
    CountsAnAttemptTwice,
    CountsWhatIsGivenBack,
    DiscardsWhatHasNotComeYet,
    DoesNotDecide,
    DropsAllTombstonesAtOnce,
    DropsConflicts,
    DropsTombstonesTooEarly,
    EndsClaimsOnATakeover,
    ForgetsAHold,
    ForgetsIdentities,
    ForgetsPositions,
    ForgetsRequests,
    ForgetsTheFence,
    ForgetsTheLock,
    ForgetsTombstones,
    ForgetsWhyItParked,
    GoesByTheCallersClock,
    GrantsAClaimTwice,
    HidesTombstonesFromTheCache,
    HoldsOneByteTooMany,
    HoldsOneEventTooMany,
    IgnoresTheDeadline,
    Keeps64BitsOfAnIndex,
    KeepsErrorTextsInAscii,
    LetsAStaleOperatorAct,
    LimitsFailures,
    ListsBackwards,
    ListsOtherStreams,
    LosesRepeatedHeaders,
    MixesConsumersUp,
    NeverFindsLostClaims,
    NeverParksLostRuns,
    RaisesFromAnything,
    ReadsTheFenceWithoutALock,
    ReadsWithoutEnd,
    RefusesARepeatedClaim,
    RefusesAWholeBatch,
    ReleasesOneByOne,
    ResetsVersions,
    ResumesOnAFailure,
    RunsWhatWasThereBeforeAnEdit,
    SettlesBackwards,
    SharesRequestsAmongEntities,
    SleepsPastWhatIsLeft,
    SortsIndexesAsText,
    TakesAResultWithoutItsToken,
    TakesNullForEmpty,
    TakesPayloadsForText,
    TakesTheLatestDueFirst,
    TakesWithoutPushingTheDueTime,
    UnparksOnALateResult,
    UsesVersionsAgain,
    WritesHalfABatch,
    WritesNoAudit,
    WritesOnTheQuietPath,
}
