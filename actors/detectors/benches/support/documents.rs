//! Radiation records as N42.42 documents, in both editions.

use std::fmt::Write as _;

use crate::noise::Noise;

/// The counts of a spectrum as text: falling with energy, so that most are small. With `zeros_counted`, a run of zeros is
/// written as its length, as instruments do.
fn channel_data(noise: &mut Noise, channels: usize, zeros_counted: bool) -> String {
    let mut text = String::new();
    let mut zeros = 0;
    for channel in 0..channels {
        let mean = 30.0 * (-6.0 * channel as f64 / channels as f64).exp();
        let count = (mean + mean.sqrt() * noise.normal()).max(0.0) as u32;
        if zeros_counted && count == 0 {
            zeros += 1;
            continue;
        }
        if zeros > 0 {
            write!(text, "0 {zeros} ").unwrap();
            zeros = 0;
        }
        write!(text, "{count} ").unwrap();
        if channel % 16 == 15 {
            text.push('\n');
        }
    }
    if zeros > 0 {
        write!(text, "0 {zeros}").unwrap();
    }
    text
}

/// A pass in the form of 2006.
pub fn form_2006(noise: &mut Noise, samples: usize, detectors: usize, channels: usize, zeros_counted: bool) -> String {
    let compression = if zeros_counted {
        " Compression=\"CountedZeroes\""
    } else {
        ""
    };
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<N42InstrumentData xmlns=\"http://physics.nist.gov/Divisions/Div846/Gp4/ANSIN4242/2005/ANSIN4242\">\n<Measurement>\n\
        <InstrumentInformation><Manufacturer>Maker</Manufacturer><InstrumentModel>Portal</InstrumentModel>\
        <InstrumentID>7</InstrumentID><InstrumentType>SpecPortal</InstrumentType></InstrumentInformation>\n"
        .to_owned();
    for sample in 1..=samples {
        text.push_str("<DetectorData>\n");
        for detector in 0..detectors {
            let counts = channel_data(noise, channels, zeros_counted);
            writeln!(
                text,
                "<DetectorMeasurement Detector=\"A{detector}\" DetectorType=\"Gamma\"><SpectrumMeasurement>\
                 <Spectrum SampleNumber=\"{sample}\">\n<StartTime>2010-01-24T00:08:24.078Z</StartTime>\n\
                 <RealTime>PT0.250S</RealTime><LiveTime>PT0.245S</LiveTime>\n\
                 <Calibration Type=\"Energy\" EnergyUnits=\"keV\"><Equation Model=\"Polynomial\">\
                 <Coefficients>0.1 0.1875 0</Coefficients></Equation></Calibration>\n\
                 <ChannelData{compression}>{counts}</ChannelData>\n</Spectrum></SpectrumMeasurement></DetectorMeasurement>"
            )
            .unwrap();
        }
        text.push_str("</DetectorData>\n");
    }
    text.push_str("</Measurement>\n</N42InstrumentData>\n");
    text
}

/// A pass in the form of 2012.
pub fn form_2012(noise: &mut Noise, samples: usize, detectors: usize, channels: usize, zeros_counted: bool) -> String {
    let compression = if zeros_counted {
        " compressionCode=\"CountedZeroes\""
    } else {
        ""
    };
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<RadInstrumentData xmlns=\"http://physics.nist.gov/N42/2011/N42\" \
        n42DocUUID=\"5a5ee3b3-5f5c-4a5c-8e64-1e5d5a5e5f5c\">\n<RadInstrumentInformation id=\"i\">\
        <RadInstrumentManufacturerName>Maker</RadInstrumentManufacturerName></RadInstrumentInformation>\n"
        .to_owned();
    for detector in 0..detectors {
        writeln!(
            text,
            "<RadDetectorInformation id=\"A{detector}\"><RadDetectorCategoryCode>Gamma</RadDetectorCategoryCode>\
             <RadDetectorKindCode>HPGe</RadDetectorKindCode></RadDetectorInformation>\n\
             <EnergyCalibration id=\"E{detector}\"><CoefficientValues>0.1 0.1875 0</CoefficientValues></EnergyCalibration>"
        )
        .unwrap();
    }
    for sample in 1..=samples {
        writeln!(
            text,
            "<RadMeasurement id=\"M{sample}\"><MeasurementClassCode>Foreground</MeasurementClassCode>\
             <StartDateTime>2010-01-24T00:08:24.078Z</StartDateTime><RealTimeDuration>PT0.250S</RealTimeDuration>"
        )
        .unwrap();
        for detector in 0..detectors {
            let counts = channel_data(noise, channels, zeros_counted);
            writeln!(
                text,
                "<Spectrum id=\"M{sample}S{detector}\" radDetectorInformationReference=\"A{detector}\" \
                 energyCalibrationReference=\"E{detector}\">\n<LiveTimeDuration>PT0.245S</LiveTimeDuration>\n\
                 <ChannelData{compression}>{counts}</ChannelData>\n</Spectrum>"
            )
            .unwrap();
        }
        text.push_str("</RadMeasurement>\n");
    }
    text.push_str("</RadInstrumentData>\n");
    text
}
