//! What a peak, no peak, and an alarm of the instrument weigh.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::reading::TraceAlarm;

use super::library::IONS;
use super::spectrum::{AROUND, Peak};

/// How well published mobilities and a calibrated instrument agree, standard deviation, relative. Detection windows of
/// +-0.003 to 0.005 cm²/(V s) held over months for mobilities of 1.0 to 1.6: J. R. Verkouteren and J. L. Staymates,
/// Forensic Sci. Int. 206 (2011) 190. Half of such a window is taken as one deviation.
const AGREEMENT: f64 = 0.002;
/// A peak further away than this, in deviations, is another substance.
const FITS: f64 = 3.0;
/// Of threats, those that leave enough on the outside for a swab to find. An assumption.
const LEAVES_TRACE: f64 = 0.5;
/// Of honest containers, those that carry a substance all the same: by family. Assumptions; narcotics are on hands and
/// banknotes everywhere, explosives hardly.
const CARRIES_NARCOTICS: f64 = 0.01;
const CARRIES_EXPLOSIVES: f64 = 0.005;
/// Of all swabs, those with another ion near a given one, without and with a blank. Assumptions.
const OTHER_ION: f64 = 0.02;
const OTHER_ION_UNKNOWN: f64 = 0.06;
/// True and false alarms of an instrument that does not state them. Assumptions.
const TRUE_ALARMS: f64 = 0.8;
const FALSE_ALARMS: f64 = 0.02;
/// No instrument is believed to be better than this.
const FALSE_ALARMS_MIN: f64 = 0.000_5;

fn carries(family: ThreatFamily) -> f64 {
    match family {
        ThreatFamily::Explosives => CARRIES_EXPLOSIVES,
        _ => CARRIES_NARCOTICS,
    }
}

/// Whether a peak can be the ion that it is near.
pub(super) fn fits(peak: &Peak) -> bool {
    peak.off.abs() <= FITS * AGREEMENT
}

/// Natural-log likelihood ratio of a family if none of an ion's peaks was found.
pub(super) fn nothing_found(family: ThreatFamily) -> f64 {
    ((1.0 - LEAVES_TRACE) / (1.0 - carries(family))).ln()
}

/// Natural-log likelihood ratio of a family for a peak near one of its ions, of which each is as likely as the others.
/// `clean` says that a blank was analysed before.
pub(super) fn peak_found(family: ThreatFamily, peak: &Peak, clean: bool) -> f64 {
    let deviations = peak.off / AGREEMENT;
    let ions = IONS.iter().filter(|ion| ion.family == family).count().max(1);
    let as_ion = (-0.5 * deviations * deviations).exp() / (AGREEMENT * std::f64::consts::TAU.sqrt()) / ions as f64;
    let as_other = if clean { OTHER_ION } else { OTHER_ION_UNKNOWN } / (2.0 * AROUND);
    let honest = carries(family) * as_ion + as_other;
    ((LEAVES_TRACE * as_ion + (1.0 - LEAVES_TRACE) * honest) / honest).ln()
}

/// Natural-log likelihood ratio of a family for an alarm with the rates that the instrument states, or the usual ones.
pub(super) fn alarm_raised(family: ThreatFamily, alarm: &TraceAlarm) -> f64 {
    let stated = |ppm: Option<u32>, usual: f64| ppm.map_or(usual, |ppm| f64::from(ppm) / 1e6);
    let false_alarms = stated(alarm.false_alarm_ppm, FALSE_ALARMS).clamp(FALSE_ALARMS_MIN, 1.0);
    // An instrument that alarms less with the substance than without it says nothing, rather than the opposite.
    let true_alarms = stated(alarm.true_alarm_ppm, TRUE_ALARMS).clamp(false_alarms, 1.0);
    let with = |share: f64| share * true_alarms + (1.0 - share) * false_alarms;
    (with(LEAVES_TRACE) / with(carries(family))).ln()
}
