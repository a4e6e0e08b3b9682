//! Findings: facts about quality that nobody may overlook, kept with what they are about.

use std::fmt;

use crate::codec::canonical;

/// Declares the codes with their byte, their text and their meaning, in one table.
macro_rules! finding_codes {
    ($($tag:literal $variant:ident $text:literal $doc:literal),* $(,)?) => {
        /// What a finding is about. The text form is stable and UPPER_SNAKE.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingCode {
            $(#[doc = $doc] $variant,)*
        }

        canonical!(enum FindingCode { $($tag => $variant),* });

        impl FindingCode {
            /// Every code, in order of its byte.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

finding_codes! {
    // About equipment ids.
    1 EquipmentIdShape "EQUIPMENT_ID_SHAPE" "The id does not have the shape of ISO 6346.",
    2 EquipmentCategory "EQUIPMENT_CATEGORY" "The category letter is not U, J or Z.",
    3 CheckDigitWrong "CHECK_DIGIT_WRONG" "The check digit is not the one of ISO 6346.",
    4 CheckDigitMissing "CHECK_DIGIT_MISSING" "The id has no check digit.",
    // About announcements.
    10 AnnouncedByAnother "ANNOUNCED_BY_ANOTHER" "Another source announced the same open container.",
    11 ManifestDiffers "MANIFEST_DIFFERS" "A later announcement of the open container has another manifest.",
    // About documents in general.
    20 XmlDeclarationMissing "XML_DECLARATION_MISSING" "The document has no XML declaration.",
    21 ByteOrderMark "BYTE_ORDER_MARK" "The document starts with a byte-order mark.",
    22 LeadingWhitespace "LEADING_WHITESPACE" "The document starts with white space.",
    23 PrefixUndeclared "PREFIX_UNDECLARED" "A namespace prefix is used and never declared.",
    24 NamespaceUnexpected "NAMESPACE_UNEXPECTED" "The root element has no namespace or an unexpected one.",
    25 ValueUnreadable "VALUE_UNREADABLE" "A value that is not essential could not be read and was left out.",
    26 ElementMissing "ELEMENT_MISSING" "An element that the standard wants is missing.",
    27 ElementMisplaced "ELEMENT_MISPLACED" "An element stands where the standard does not put it.",
    // About declarations.
    40 CountDiffers "COUNT_DIFFERS" "A stated count is not the number found.",
    41 MassMissing "MASS_MISSING" "A goods item states no mass.",
    42 MassZero "MASS_ZERO" "A stated mass is zero.",
    43 MassInconsistent "MASS_INCONSISTENT" "A net mass is larger than its gross mass.",
    44 CommodityCodeOdd "COMMODITY_CODE_ODD" "A goods code is missing or has an odd length.",
    45 CountryUnknown "COUNTRY_UNKNOWN" "A country code is missing or is not two letters in use.",
    46 NotContainerised "NOT_CONTAINERISED" "The declaration says that the goods are not in a container.",
    47 EquipmentMissing "EQUIPMENT_MISSING" "The declaration names no container.",
    48 SharedManifest "SHARED_MANIFEST" "One declaration covers several containers, and its goods cannot be told apart by container.",
    49 DeclarationWeighed "DECLARATION_WEIGHED" "A learned model weighed the declaration.",
    50 ModelUnreadable "MODEL_UNREADABLE" "This node cannot read the learned model that the policy names.",
    // About radiation data.
    60 AttributeSpelling "ATTRIBUTE_SPELLING" "An attribute has the spelling of another edition of the standard.",
    61 DocumentIdEmpty "DOCUMENT_ID_EMPTY" "The document id is empty or missing.",
    62 CountsFractional "COUNTS_FRACTIONAL" "Counts are not whole numbers, so the file was made by software.",
    63 OccupancyUnusable "OCCUPANCY_UNUSABLE" "The occupancy flag never changes and says nothing.",
    64 DetectorSilent "DETECTOR_SILENT" "A declared detector sent nothing.",
    65 DetectorUndeclared "DETECTOR_UNDECLARED" "A detector sent data and was never declared.",
    66 TimesMixed "TIMES_MIXED" "Local times stand beside times with a zone.",
    67 CalibrationOdd "CALIBRATION_ODD" "An energy calibration is missing or has an unexpected number of coefficients.",
    68 ChannelsDiffer "CHANNELS_DIFFER" "Spectra of one detector have different numbers of channels.",
    69 LiveTimeMissing "LIVE_TIME_MISSING" "Live time is missing or zero; real time was used.",
    70 LiveTimeImpossible "LIVE_TIME_IMPOSSIBLE" "Live time is longer than real time.",
    71 DeadTimeHigh "DEAD_TIME_HIGH" "More than a tenth of the time was dead: a strong source, or a fault.",
    72 NeutronsAbsent "NEUTRONS_ABSENT" "There is no neutron detector.",
    73 BackgroundFromPass "BACKGROUND_FROM_PASS" "No background was given; it was taken from the quiet part of the pass.",
    74 BackgroundMissing "BACKGROUND_MISSING" "There is no usable background.",
    75 BackgroundSuppressed "BACKGROUND_SUPPRESSED" "The vehicle shadowed the background.",
    76 SampleGap "SAMPLE_GAP" "Samples are missing or out of order.",
    77 NeutronAlarm "NEUTRON_ALARM" "Neutrons well above background.",
    78 GammaAlarm "GAMMA_ALARM" "Gamma counts well above background.",
    79 NaturalUnexplained "NATURAL_UNEXPLAINED" "Natural radioactivity was found that the declared goods do not explain.",
    80 NaturalExplained "NATURAL_EXPLAINED" "Natural radioactivity was found that the declared goods explain.",
    81 NuclideFound "NUCLIDE_FOUND" "A nuclide was recognised in the gamma spectrum.",
    82 SourceUnknown "SOURCE_UNKNOWN" "The gamma spectrum shows a source that no template explains.",
    83 SpectrumMissing "SPECTRUM_MISSING" "No gamma spectrum could be used.",
    // About weights and recognition.
    90 MassOverDeclared "MASS_OVER_DECLARED" "The measured mass is well above the declared mass.",
    91 MassUnderDeclared "MASS_UNDER_DECLARED" "The measured mass is well below the declared mass.",
    92 MassUnknown "MASS_UNKNOWN" "There is no declared mass to compare with.",
    93 WeighingImpossible "WEIGHING_IMPOSSIBLE" "A weighing outside what a truck can be.",
    94 WeighingTooFast "WEIGHING_TOO_FAST" "The vehicle was too fast for a useful weighing.",
    95 AxlesDiffer "AXLES_DIFFER" "The axles together do not weigh what the whole vehicle weighs.",
    96 AxleSilent "AXLE_SILENT" "An axle that stands on the road weighs nothing, or all weigh the same.",
    97 AxleOverloaded "AXLE_OVERLOADED" "An axle, a group of axles or the whole vehicle is above its legal limit.",
    98 LoadUneven "LOAD_UNEVEN" "The load lies further to one end of the container than loads usually do.",
    99 MassOverRating "MASS_OVER_RATING" "Container and goods weigh more than a container of this kind may.",
    100 OcrMismatch "OCR_MISMATCH" "The container number read is not the one announced.",
    101 OcrUncertain "OCR_UNCERTAIN" "The container number could be read only in part or with low confidence.",
    102 OcrUnreadable "OCR_UNREADABLE" "No container number could be read.",
    103 SealDiffers "SEAL_DIFFERS" "The number read on the seal is none of those declared.",
    104 SealBroken "SEAL_BROKEN" "The seal is broken or open.",
    105 SealAbsent "SEAL_ABSENT" "There is no seal on the doors although one is declared.",
    106 SealUnreadable "SEAL_UNREADABLE" "A seal was seen, and its number could not be read.",
    // About readings and devices.
    120 ReadingGap "READING_GAP" "Sequence numbers of the device are missing.",
    121 ReadingRefused "READING_REFUSED" "A reading was refused and is not part of the evidence.",
    122 DeviceLost "DEVICE_LOST" "A device of the lane was not there for this pass.",
    123 ClockOff "CLOCK_OFF" "The capture time does not fit the port's clock.",
    124 ReadingStray "READING_STRAY" "A reading that was seen before, or is about another container, came and was left out.",
    // About the inspection itself.
    140 EvidenceAfterConclusion "EVIDENCE_AFTER_CONCLUSION" "Evidence came after the conclusion.",
    141 PassesExhausted "PASSES_EXHAUSTED" "Too many passes broke off.",
    142 DocumentUnverified "DOCUMENT_UNVERIFIED" "The announcement has no digest of the document it was read from.",
    // About quadrupole resonance.
    160 NqrUnusable "NQR_UNUSABLE" "A resonance reading cannot be used as it is.",
    161 NqrMetalLoad "NQR_METAL_LOAD" "Metal in the coil took quality from it, so that goods may be screened.",
    162 NqrRinging "NQR_RINGING" "The coil rang into the window of the echoes; that part was cut off.",
    163 NqrInterference "NQR_INTERFERENCE" "Radio interference stood where a line could be; those frequencies were left out.",
    164 NqrReferenceMissing "NQR_REFERENCE_MISSING" "There is no noise reference, so that interference may be overlooked.",
    165 NqrBlind "NQR_BLIND" "No known line could have been seen in this reading.",
    166 NqrLineFound "NQR_LINE_FOUND" "A known resonance line was found.",
    167 NqrLineExplained "NQR_LINE_EXPLAINED" "A known resonance line was found that the declared goods explain.",
    // About magnetic profiles.
    170 MagneticUnusable "MAGNETIC_UNUSABLE" "A magnetic profile cannot be used as it is.",
    171 MagneticIncomplete "MAGNETIC_INCOMPLETE" "The magnetic profile does not cover the whole container, or has too few sensors.",
    172 MagneticBlind "MAGNETIC_BLIND" "The magnetic profile is too noisy to show what is looked for.",
    173 MagneticDipole "MAGNETIC_DIPOLE" "A magnetic object was found that the declared goods do not explain.",
    174 MagneticExplained "MAGNETIC_EXPLAINED" "A magnetic object was found that the declared goods explain.",
    // About transmission images.
    200 ColumnsMissing "COLUMNS_MISSING" "Columns of the image are missing or came twice.",
    201 ColumnsDisordered "COLUMNS_DISORDERED" "Strips of the image came out of order.",
    202 ImageUnusable "IMAGE_UNUSABLE" "A strip of the image could not be used.",
    203 NotPenetrated "NOT_PENETRATED" "The beam did not get through parts of the container.",
    204 DensityAnomaly "DENSITY_ANOMALY" "Something in the image is denser or lighter than what is around it.",
    205 BeamUnsteady "BEAM_UNSTEADY" "The beam changed during the pass more than can be corrected.",
    206 OutlineUnknown "OUTLINE_UNKNOWN" "The scanner does not say which rows show the container.",
    207 RecognitionAlarm "RECOGNITION_ALARM" "A vendor's recognition reports a threat in the image.",
    208 RecognitionIncomplete "RECOGNITION_INCOMPLETE" "A vendor's recognition broke off, or could not look at all of the image.",
    209 LoadInEmpty "LOAD_IN_EMPTY" "The image shows a load in a container that is declared empty.",
    // About trace detection.
    220 CalibrantMissing "CALIBRANT_MISSING" "The ion that drift times are compared with was not found.",
    221 BlankMissing "BLANK_MISSING" "No blank was analysed before the swab.",
    222 BlankContaminated "BLANK_CONTAMINATED" "The blank shows a substance, so the instrument is not clean.",
    223 SpectrumSaturated "SPECTRUM_SATURATED" "Ion currents reached the limit of the instrument.",
    224 SubstanceFound "SUBSTANCE_FOUND" "The drift time of a peak is that of a known substance.",
    225 TraceUnusable "TRACE_UNUSABLE" "An analysis of a swab could not be used.",
    226 TraceAlarm "TRACE_ALARM" "The trace detector raised an alarm of its own.",
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for FindingCode {
    type Err = crate::id::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| crate::id::InvalidId::new("finding code", text, "no such code"))
    }
}

/// The longest detail, in bytes. Longer ones are cut: a finding is a note, not a document.
pub const DETAIL_MAX: usize = 256;

/// One fact about quality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// What it is about.
    pub code: FindingCode,
    /// The element or field concerned.
    pub field: String,
    /// What was found, for a person.
    pub detail: String,
}

canonical!(struct Finding { code, field, detail });

impl Finding {
    /// A finding; over-long texts are cut at a character boundary.
    pub fn new(code: FindingCode, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: cut(field.into()),
            detail: cut(detail.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.field, self.detail)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > DETAIL_MAX {
        let end = (0..=DETAIL_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_reads_back_from_its_text_and_its_byte() {
        for code in FindingCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            let bytes = crate::codec::to_bytes(code);
            assert_eq!(crate::codec::from_bytes(&bytes), Ok(*code));
        }
    }
}
