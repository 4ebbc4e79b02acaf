using System;
using System.Globalization;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;

/// <summary>Ranks texts by their similarity to a query: Search MODEL QUERY TEXT...</summary>
public static class Search
{
    const string Library = "encoderfile";

    [StructLayout(LayoutKind.Sequential)]
    struct Text
    {
        public IntPtr Data;
        public UIntPtr Length;
    }

    [DllImport(Library)]
    static extern int encoderfile_open(byte[] path, UIntPtr pathLength, UIntPtr threads,
        out ulong model, out IntPtr error);

    [DllImport(Library)]
    static extern void encoderfile_close(ulong model);

    [DllImport(Library)]
    static extern int encoderfile_dimensions(ulong model, out UIntPtr dimensions, out IntPtr error);

    [DllImport(Library)]
    static extern int encoderfile_encode(ulong model, Text[] texts, UIntPtr count, byte[] options,
        UIntPtr optionsLength, [Out] float[] embeddings, UIntPtr capacity, out IntPtr error);

    [DllImport(Library)]
    static extern IntPtr encoderfile_error_message(IntPtr error);

    [DllImport(Library)]
    static extern void encoderfile_error_free(IntPtr error);

    /// <summary>What a call says of its failure.</summary>
    sealed class EncoderfileException : Exception
    {
        public EncoderfileException(string message) : base(message) {}
    }

    /// <summary>A model, for any number of threads.</summary>
    sealed class Model : IDisposable
    {
        readonly ulong handle;

        public Model(string path)
        {
            var bytes = Encoding.UTF8.GetBytes(path);
            Check(encoderfile_open(bytes, Size(bytes.Length), Size(0), out handle, out var error),
                error);
        }

        public int Dimensions
        {
            get
            {
                Check(encoderfile_dimensions(handle, out var dimensions, out var error), error);
                return (int)dimensions;
            }
        }

        /// <summary>Row-major: [texts, dimensions].</summary>
        public float[] Encode(string[] texts, string options)
        {
            var pinned = texts
                .Select(text => GCHandle.Alloc(Encoding.UTF8.GetBytes(text), GCHandleType.Pinned))
                .ToArray();
            try
            {
                var inputs = pinned.Select(it => new Text
                {
                    Data = it.AddrOfPinnedObject(),
                    Length = Size(((byte[])it.Target).Length),
                }).ToArray();
                var json = Encoding.UTF8.GetBytes(options);
                var rows = new float[texts.Length * Dimensions];
                Check(encoderfile_encode(handle, inputs, Size(inputs.Length), json,
                    Size(json.Length), rows, Size(rows.Length), out var error), error);
                return rows;
            }
            finally
            {
                foreach (var it in pinned)
                    it.Free();
            }
        }

        public void Dispose()
        {
            encoderfile_close(handle);
        }

        static UIntPtr Size(int size)
        {
            return (UIntPtr)(uint)size;
        }

        static void Check(int status, IntPtr error)
        {
            if (status == 0)
                return;
            var message = encoderfile_error_message(error);
            var length = 0;
            while (Marshal.ReadByte(message, length) != 0)
                length++;
            var bytes = new byte[length];
            Marshal.Copy(message, bytes, 0, length);
            encoderfile_error_free(error);
            throw new EncoderfileException(Encoding.UTF8.GetString(bytes));
        }
    }

    public static int Main(string[] arguments)
    {
        if (arguments.Length < 3)
        {
            Console.Error.WriteLine("usage: Search MODEL QUERY TEXT...");
            return 2;
        }
        try
        {
            using (var model = new Model(arguments[0]))
            {
                var texts = arguments.Skip(1).ToArray();
                var rows = model.Encode(texts, "{\"normalize\": true}");
                var width = model.Dimensions;
                var hits = Enumerable.Range(1, texts.Length - 1)
                    .Select(i => new
                    {
                        Text = texts[i],
                        Score = Enumerable.Range(0, width).Sum(j => rows[j] * rows[i * width + j]),
                    })
                    .OrderByDescending(hit => hit.Score);
                foreach (var hit in hits)
                    Console.WriteLine(
                        hit.Score.ToString("F4", CultureInfo.InvariantCulture) + "  " + hit.Text);
                return 0;
            }
        }
        catch (EncoderfileException failure)
        {
            Console.Error.WriteLine("error: " + failure.Message);
            return 1;
        }
    }
}
