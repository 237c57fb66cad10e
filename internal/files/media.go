package files

import (
	"image"
	_ "image/jpeg" // registers its header's decoder
	_ "image/png"
	"io"
	"time"
)

// The limits that fal's page of the model names, and for images, where it names
// none, what no screen or camera exceeds.
const (
	maxVideo     = 2 * time.Minute
	maxVideoLong = 1920 // pixels
	maxVideoSide = 1080
	maxAudio     = 50 * time.Minute
	maxImageSide = 16384
	maxImageArea = 100_000_000 // pixels: decoded by the model's host at 3 bytes each

	// Encoders pad the last frame: a cut of exactly the limit is a little longer.
	lengthSlack = time.Second

	maxImageHead = 1 << 20 // bytes of a picture read for its dimensions
)

// A Media is what a file's header tells about it. Zero means that it does not
// tell.
type Media struct {
	Width, Height int
	Duration      time.Duration
	// Damaged says that a picture or a video has no header that could be read.
	// Of a recording it is not told: one can be played from anywhere.
	Damaged bool
}

// Inspect reads the header of a file of the given kind. It reads little: of a
// picture at most 1 MiB in one piece, else some bytes here and there, where the
// lengths that the file gives lead to. What is merely unusual in a header is not
// held against it; see Damaged.
func Inspect(r io.ReaderAt, size int64, kind Kind) Media {
	switch kind {
	case KindJPEG, KindPNG:
		return inspectPicture(r, size, kind)
	case KindMP4:
		return inspectMP4(r, size)
	case KindWAV:
		return Media{Duration: wavDuration(r, size)}
	case KindMP3:
		return Media{Duration: mp3Duration(r, size)}
	}
	return Media{}
}

func inspectPicture(r io.ReaderAt, size int64, kind Kind) Media {
	if config, _, err := image.DecodeConfig(io.NewSectionReader(r, 0, min(size, maxImageHead))); err == nil {
		return Media{Width: config.Width, Height: config.Height}
	}
	header := frameHeader
	if kind == KindPNG {
		header = pngHeader
	}
	m, found := header(io.NewSectionReader(r, 0, size))
	m.Damaged = !found
	return m
}

// Check returns an *Error where the header tells that fal's model would refuse
// the file, or where there is none; shown names it in the message.
func (m Media) Check(kind Kind, shown string) error {
	long, side := max(m.Width, m.Height), min(m.Width, m.Height)
	shown = Visible(shown)
	if m.Damaged {
		return invalid("Check that it opens in a viewer or player, or write it anew.", `"%s": its header can't be read: is it damaged?`, shown)
	}
	switch kind {
	case KindJPEG, KindPNG:
		if long > maxImageSide || int64(m.Width)*int64(m.Height) > maxImageArea {
			return invalid("Scale it down.", `the image "%s" has %d × %d pixels; the limit is %d on a side and %d million in all`,
				shown, m.Width, m.Height, maxImageSide, maxImageArea/1_000_000)
		}
	case KindMP4:
		if long > maxVideoLong || side > maxVideoSide {
			return invalid("Scale it down to 1080p.", `the video "%s" has %d × %d pixels; the model takes up to 1080p`, shown, m.Width, m.Height)
		}
		if m.Duration > maxVideo+lengthSlack {
			return invalid("Cut it into parts.", `the video "%s" lasts %s; the model takes up to %s`, shown, m.Duration.Round(time.Second), maxVideo)
		}
	case KindWAV, KindMP3:
		if m.Duration > maxAudio+lengthSlack {
			return invalid("Cut it into parts.", `the recording "%s" lasts %s; the model takes up to %s`, shown, m.Duration.Round(time.Second), maxAudio)
		}
	}
	return nil
}

// seconds is a count at a rate as a duration, or 0 where that makes no sense.
func seconds(count, rate float64) time.Duration {
	if count <= 0 || rate <= 0 {
		return 0
	}
	const year = 365 * 24 * 3600
	return time.Duration(min(count/rate, year) * float64(time.Second))
}
