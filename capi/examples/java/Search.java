import com.sun.jna.Library;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** Ranks texts by their similarity to a query: Search MODEL QUERY TEXT... */
public class Search {
    /** The functions of libencoderfile that this program calls, by JNA, where size_t has 64 bits. */
    interface Encoderfile extends Library {
        Encoderfile C = Native.load("encoderfile", Encoderfile.class);

        int encoderfile_open(byte[] path, long pathLen, long threads, LongByReference model,
                PointerByReference error);

        void encoderfile_close(long model);

        int encoderfile_dimensions(long model, LongByReference dimensions, PointerByReference error);

        int encoderfile_encode(long model, Pointer texts, long count, byte[] options,
                long optionsLen, float[] embeddings, long capacity, PointerByReference error);

        Pointer encoderfile_error_message(Pointer error);

        void encoderfile_error_free(Pointer error);
    }

    /** A model, for any number of threads. */
    static final class Model implements AutoCloseable {
        private final long handle;

        Model(String path) {
            byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
            LongByReference model = new LongByReference();
            PointerByReference error = new PointerByReference();
            check(Encoderfile.C.encoderfile_open(bytes, bytes.length, 0, model, error), error);
            handle = model.getValue();
        }

        int dimensions() {
            LongByReference dimensions = new LongByReference();
            PointerByReference error = new PointerByReference();
            check(Encoderfile.C.encoderfile_dimensions(handle, dimensions, error), error);
            return Math.toIntExact(dimensions.getValue());
        }

        /** Row-major: [texts, dimensions]. */
        float[] encode(List<String> texts, String options) {
            // An encoderfile_text is an address and a length.
            Memory array = new Memory(16L * texts.size());
            List<Memory> held = new ArrayList<>();
            for (int i = 0; i < texts.size(); i++) {
                byte[] bytes = texts.get(i).getBytes(StandardCharsets.UTF_8);
                Memory text = new Memory(Math.max(bytes.length, 1));
                text.write(0, bytes, 0, bytes.length);
                held.add(text);
                array.setPointer(16L * i, text);
                array.setLong(16L * i + 8, bytes.length);
            }
            byte[] json = options.getBytes(StandardCharsets.UTF_8);
            float[] rows = new float[texts.size() * dimensions()];
            PointerByReference error = new PointerByReference();
            check(Encoderfile.C.encoderfile_encode(handle, array, texts.size(), json, json.length,
                    rows, rows.length, error), error);
            java.lang.ref.Reference.reachabilityFence(held);
            return rows;
        }

        @Override
        public void close() {
            Encoderfile.C.encoderfile_close(handle);
        }

        private static void check(int status, PointerByReference error) {
            if (status != 0) {
                Pointer failure = error.getValue();
                String message = Encoderfile.C.encoderfile_error_message(failure)
                        .getString(0, StandardCharsets.UTF_8.name());
                Encoderfile.C.encoderfile_error_free(failure);
                throw new IllegalArgumentException(message);
            }
        }
    }

    public static void main(String[] arguments) {
        if (arguments.length < 3) {
            System.err.println("usage: Search MODEL QUERY TEXT...");
            System.exit(2);
        }
        List<String> texts = Arrays.asList(arguments).subList(1, arguments.length);
        try (Model model = new Model(arguments[0])) {
            float[] rows = model.encode(texts, "{\"normalize\": true}");
            int width = model.dimensions();
            float[] scores = new float[texts.size()];
            List<Integer> hits = new ArrayList<>();
            for (int i = 1; i < texts.size(); i++) {
                for (int j = 0; j < width; j++) {
                    scores[i] += rows[j] * rows[i * width + j];
                }
                hits.add(i);
            }
            hits.sort(Comparator.comparing((Integer hit) -> -scores[hit]));
            for (int hit : hits) {
                System.out.printf(Locale.ROOT, "%.4f  %s%n", scores[hit], texts.get(hit));
            }
        } catch (IllegalArgumentException failure) {
            System.err.println("error: " + failure.getMessage());
            System.exit(1);
        }
    }
}
