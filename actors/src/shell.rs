//! The shell that every kind of actor runs in: one ractor actor around a role that never waits.
//!
//! A role takes messages, wake-ups and refusals, calls domain functions, and submits commands. It has no handler that
//! awaits, so no actor is ever held up by a commit; what takes time runs in a task and comes back as a message.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use portcullis_domain::command::ActorBody;
use portcullis_domain::id::{Epoch, InspectionNo, Sequence, Timestamp};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::Message;
use portcullis_domain::outcome::{Outcome, Refusal, RefusalReason};
use portcullis_domain::placement::ActorKey;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;
use tracing::{debug, error, info, info_span, trace};

use crate::bell::Bell;
use crate::bounded::{Admission, BoundedRef, Env};
use crate::command_stream::{CommandStream, Settled, Unanswerable};
use crate::config::HostConfig;
use crate::ports::Ports;
use crate::post::Post;

/// What reaches an actor.
#[derive(Debug)]
pub(crate) enum Signal<M> {
    /// The ledger changed, or time passed.
    Wake,
    /// One of its commands was answered, or it can never be.
    Answered(Sequence, Result<Outcome, Unanswerable>),
    /// Somebody told it something.
    Message(M),
}

/// Why an actor ends.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Its placement is over.
    Fenced,
    /// What it believes may be wrong: start again from the ledger.
    Stale(String),
}

/// What an actor does, without how it is run.
pub(crate) trait Role: Sized + Send + 'static {
    /// What others tell it.
    type Message: Send + 'static;
    /// What a command of its own is about.
    type Ticket: Send + 'static;
    /// What it needs besides the context.
    type Setup: Send + 'static;

    /// Starts from the ledger, which shows the placement already.
    fn start(context: Context<Self>, setup: Self::Setup) -> Self;
    /// What every role has.
    fn context(&mut self) -> &mut Context<Self>;
    /// The ledger changed, a command took effect, or time passed.
    fn wake(&mut self, changed: BTreeSet<InspectionNo>) -> Result<(), Halt>;
    /// Somebody told it something.
    fn receive(&mut self, message: Self::Message) -> Result<(), Halt>;
    /// A command of its own had no effect.
    fn refused(&mut self, ticket: Self::Ticket, refusal: Refusal) -> Result<(), Halt>;
    /// It ends on purpose.
    fn stopping(&mut self) {}
}

/// What every role has.
pub(crate) struct Context<R: Role> {
    pub(crate) key: ActorKey,
    pub(crate) epoch: Epoch,
    pub(crate) config: Arc<HostConfig>,
    pub(crate) ports: Ports,
    pub(crate) commands: CommandStream<R::Ticket>,
    /// Trace context of the message being handled.
    traceparent: String,
    post: Post,
    me: BoundedRef<Signal<R::Message>>,
    tasks: JoinSet<()>,
}

impl<R: Role> Context<R> {
    /// The local replica as it stands now.
    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        self.ports.ledger.ledger()
    }

    /// The port's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Sends a command; false if too many are under way.
    pub(crate) fn submit(&mut self, body: ActorBody, ticket: R::Ticket) -> bool {
        self.commands.submit(body, ticket, &self.traceparent)
    }

    /// Tells another actor, here or elsewhere. May be lost.
    pub(crate) fn tell(&self, to: &ActorKey, message: Message) {
        self.post.tell(&self.key, to, &self.traceparent, message);
    }

    /// Runs something that takes time; its result comes back as a message. Ends with the actor.
    pub(crate) fn later(&mut self, work: impl Future<Output = R::Message> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        let me = self.me.clone();
        self.tasks.spawn(async move {
            let message = work.await;
            // An actor that is gone needs no answer.
            let _ = me.tell_bounded_elsewhere(Signal::Message(message));
        });
    }
}

/// What a shell is started with.
pub(crate) struct Start<R: Role> {
    pub(crate) key: ActorKey,
    pub(crate) epoch: Epoch,
    pub(crate) config: Arc<HostConfig>,
    pub(crate) ports: Ports,
    pub(crate) post: Post,
    pub(crate) bell: Arc<Bell>,
    pub(crate) admission: Admission,
    pub(crate) setup: R::Setup,
}

/// The ractor actor.
pub(crate) struct Shell<R>(PhantomData<fn() -> R>);

impl<R> Shell<R> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(crate) struct ShellState<R: Role> {
    key: ActorKey,
    epoch: Epoch,
    bell: Arc<Bell>,
    /// Taken at the first message: a start must be quick, because the supervisor waits for it. The first message is a
    /// wake-up, which comes when the actor is in the directory, so that no change can pass it by.
    waiting: Option<(Context<R>, R::Setup)>,
    role: Option<R>,
}

impl<R: Role> ShellState<R> {
    fn handle(&mut self, signal: Signal<R::Message>, traceparent: String) -> Result<(), Halt> {
        if let Some((context, setup)) = self.waiting.take() {
            info!("actor started");
            self.role = Some(R::start(context, setup));
        }
        let Some(role) = &mut self.role else { return Ok(()) };
        role.context().traceparent = traceparent;
        match signal {
            Signal::Wake => {
                let changed = self.bell.answer();
                see(role);
                role.wake(changed)
            }
            Signal::Message(message) => {
                see(role);
                role.receive(message)
            }
            Signal::Answered(sequence, outcome) => {
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(why) => {
                        error!(%sequence, %why, "command given up, starting again");
                        return Err(Halt::Stale(why.to_string()));
                    }
                };
                let settled = role.context().commands.settle(sequence, outcome);
                see(role);
                match settled {
                    Settled::Applied => role.wake(BTreeSet::new()),
                    Settled::Refused(_, refusal) if refusal.reason == RefusalReason::Fenced => Err(Halt::Fenced),
                    Settled::Refused(_, refusal) if refusal.reason == RefusalReason::SequenceTooOld => {
                        Err(Halt::Stale(refusal.to_string()))
                    }
                    Settled::Refused(ticket, refusal) => {
                        debug!(%refusal, "command refused");
                        role.refused(ticket, refusal)
                    }
                    Settled::Unknown => Ok(()),
                }
            }
        }
    }
}

/// Closes the commands whose effects the local replica shows by now.
fn see<R: Role>(role: &mut R) {
    let number = role.context().ledger().number();
    role.context().commands.seen(number);
}

impl<R: Role> Actor for Shell<R> {
    type Msg = Env<Signal<R::Message>>;
    type State = ShellState<R>;
    type Arguments = Start<R>;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, start: Start<R>) -> Result<Self::State, ActorProcessingErr> {
        let me = BoundedRef::new(myself, start.admission);
        let outcomes = me.clone();
        let deliver = Arc::new(move |sequence, outcome| {
            // An actor that is gone starts again from the ledger, which has the outcome.
            let _ = outcomes.tell_bounded_elsewhere(Signal::Answered(sequence, outcome));
        });
        let commands = CommandStream::new(
            start.key.clone(),
            start.epoch,
            Arc::clone(&start.ports.proposer),
            deliver,
        );
        let context = Context {
            key: start.key.clone(),
            epoch: start.epoch,
            config: start.config,
            ports: start.ports,
            commands,
            traceparent: String::new(),
            post: start.post,
            me,
            tasks: JoinSet::new(),
        };
        Ok(ShellState {
            key: start.key,
            epoch: start.epoch,
            bell: start.bell,
            waiting: Some((context, start.setup)),
            role: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        env: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let span = info_span!("actor", key = %state.key, epoch = state.epoch.0);
        let halt = span.in_scope(|| {
            trace!(waited = ?env.enqueued.elapsed(), traceparent = env.traceparent, "message");
            state.handle(env.message, env.traceparent)
        });
        match halt {
            Ok(()) => Ok(()),
            Err(Halt::Fenced) => {
                span.in_scope(|| info!("fenced: the placement is over"));
                myself.stop(Some("fenced".to_owned()));
                Ok(())
            }
            Err(Halt::Stale(why)) => Err(why.into()),
        }
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(role) = &mut state.role {
            role.stopping();
        }
        info!(key = %state.key, epoch = state.epoch.0, "actor stopped");
        Ok(())
    }
}
