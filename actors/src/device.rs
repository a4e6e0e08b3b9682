//! Devices at the door: attaching to a lane, checking what they send, and handing it to the lane's actor.
//!
//! Signatures are checked here, on the task of the device's connection, so that a lane with many sensors is not slowed
//! down by cryptography, and a flood of forgeries costs the forger's connection only.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signature, VerifyingKey};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{DeviceId, InspectionNo, LaneId, PassNo};
use portcullis_domain::lane::DeviceSpec;
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::reading::SignedReading;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};

use crate::bounded::BoundedRef;
use crate::lane::LaneMessage;
use crate::ports::{BoxFuture, ReadingDecoder};
use crate::shell::Signal;
use crate::source::Authentic;

/// A device that wants to be part of a lane.
#[derive(Debug)]
pub struct Attachment {
    /// Which lane.
    pub lane: LaneId,
    /// Which device.
    pub device: DeviceId,
    /// Grows with each start of the device.
    pub boot: u64,
    /// To the device. A device that does not take its messages is detached; when the lane gives the device up, the
    /// channel is closed.
    pub outgoing: mpsc::Sender<ToDevice>,
}

/// Why a device is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}: {detail}")]
pub struct AttachRefused {
    /// UPPER_SNAKE.
    pub reason: String,
    /// For a person.
    pub detail: String,
}

impl AttachRefused {
    pub(crate) fn new(reason: &str, detail: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            detail: detail.into(),
        }
    }
}

/// The lane has given the device up; attach again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the lane has given the device up; attach again")]
pub struct PortClosed;

/// What a device says, once it is known to be the device.
#[derive(Debug)]
pub(crate) enum Said {
    Reading(Box<Authentic>),
    /// A reading that nobody can vouch for, or that is none.
    Unfit {
        reason: &'static str,
        detail: String,
    },
    Arrived(EquipmentId),
    PassEnded(InspectionNo, PassNo),
}

/// A device's way into its lane. Dropping it detaches the device.
pub struct DevicePort {
    pub(crate) id: u64,
    pub(crate) device: DeviceId,
    /// None if the configured key is no Ed25519 key: nothing verifies then.
    pub(crate) key: Option<VerifyingKey>,
    pub(crate) decoder: Arc<dyn ReadingDecoder>,
    pub(crate) lane: BoundedRef<Signal<LaneMessage>>,
    /// Each device has its own permits, so that none keeps the others from being heard.
    pub(crate) permits: Arc<Semaphore>,
}

impl fmt::Debug for DevicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevicePort({} {})", self.device, self.id)
    }
}

impl DevicePort {
    /// Hands over what the device said. Waits while too much of it is unheard, which is how the device is slowed down.
    ///
    /// # Errors
    /// When the lane's actor is gone.
    pub fn deliver(&self, message: FromDevice, traceparent: String) -> BoxFuture<'_, Result<(), PortClosed>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.permits)
                .acquire_owned()
                .await
                .map_err(|_| PortClosed)?;
            let said = match message {
                FromDevice::Reading(signed) => self.check(signed),
                FromDevice::Arrived { equipment } => Said::Arrived(equipment),
                FromDevice::PassEnded { inspection, pass } => Said::PassEnded(inspection, pass),
            };
            let message = LaneMessage::Said {
                device: self.device.clone(),
                port: self.id,
                said,
            };
            self.lane
                .tell_with(permit, Signal::Message(message), traceparent)
                .map_err(|_| PortClosed)
        })
    }

    fn check(&self, signed: SignedReading) -> Said {
        let verified = self
            .key
            .as_ref()
            .zip(Signature::from_slice(&signed.signature).ok())
            .is_some_and(|(key, signature)| key.verify_strict(&signed.digest().0, &signature).is_ok());
        if !portcullis_domain::mutant!(SignaturesUnchecked, true, verified) {
            let detail = format!("the signature is not one of {} over this reading", self.device);
            return Said::Unfit {
                reason: "SIGNATURE_INVALID",
                detail,
            };
        }
        match self.decoder.decode(&signed.body) {
            Ok(reading) => Said::Reading(Box::new(Authentic { signed, reading })),
            Err(detail) => Said::Unfit {
                reason: "READING_UNREADABLE",
                detail,
            },
        }
    }
}

impl Drop for DevicePort {
    fn drop(&mut self) {
        let message = LaneMessage::Detach {
            device: self.device.clone(),
            port: self.id,
        };
        // An actor that is gone has no devices.
        let _ = self.lane.tell_bounded_elsewhere(Signal::Message(message));
    }
}

/// The key that a device's readings are checked with.
pub(crate) fn key_of(spec: &DeviceSpec) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&spec.public_key).ok()
}
